"""A small HTTP server for picture URLs: every GET is answered with the same bytes, at once or after a while.

No thread for each connection, and nothing is parsed but the path: it runs on the cores that are measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.loopback import Loopback

IDLE_S = 60.0
"""A connection without a request for this long is closed."""


class PictureServer(Loopback):
    """`with PictureServer(jpeg) as server:` answers on 127.0.0.1:`server.port`.

    Args:
        asked: is told the path of each GET, in the server's thread, and says after how many seconds to answer it.
    """

    def __init__(self, image: bytes, asked: Callable[[str], float] | None = None) -> None:
        super().__init__("pictures")
        self._asked = asked
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
        self._answer = head.encode() + image

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """GET after GET, until the client is done."""
        while True:
            async with asyncio.timeout(IDLE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            if self._asked is not None:
                await asyncio.sleep(self._asked(head.split(b" ", 2)[1].decode("latin-1")))
            writer.write(self._answer)
            await writer.drain()

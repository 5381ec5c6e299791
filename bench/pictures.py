"""A small HTTP server for picture URLs: every GET is answered with the same bytes, at once or after a while.

One thread, 127.0.0.1 only.

Raw asyncio, since it runs on the cores that are measured: no thread for each connection, and nothing is parsed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

IDLE_S = 60.0
"""A connection without a request for this long is closed."""


class PictureServer:
    """`with PictureServer(jpeg) as server:` answers on 127.0.0.1:`server.port`.

    Args:
        asked: is told the path of each GET, in the server's thread, and says after how many seconds to answer it.
    """

    def __init__(self, image: bytes, asked: Callable[[str], float] | None = None) -> None:
        self._asked = asked
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
        self._answer = head.encode() + image
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pictures", daemon=True)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> PictureServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                if self._asked is not None:
                    await asyncio.sleep(self._asked(head.split(b" ", 2)[1].decode("latin-1")))
                writer.write(self._answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return  # the client is done with this connection
        except asyncio.CancelledError:
            return  # so is the bench; a cancelled handler would be logged as an error
        finally:
            self._open.discard(task)
            writer.close()

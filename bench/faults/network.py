"""A TCP proxy with the faults of a network between the service and its store: delay, reset, and a stall without close.

A stall is the worst of them: nothing comes through and nobody is told. What was sent before it lies in buffers, as it
would in a router or in the kernel, and connections that are opened meanwhile are not answered. Knows bytes, not Redis.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from bench.loopback import Loopback

T = TypeVar("T")

CHUNK = 65_536
CONNECT_S = 5.0
NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER with a wait of 0 s: close sends RST instead of FIN (socket(7))."""


class Network(Loopback):
    """`with Network() as network:` then `network.to(port)` before the first connection; clients use `network.port`.

    Its methods may be called from any thread; each is done when it returns.
    """

    def __init__(self) -> None:
        super().__init__("network")
        self._target = 0
        self._flows: asyncio.Event | None = None
        self._delay_s = 0.0
        self._live: set[_Link] = set()
        self.links = 0

    def to(self, port: int) -> int:
        """Lead to 127.0.0.1:`port` from now on. The proxy's own port."""
        self._target = port
        return self.port

    def delay(self, seconds: float) -> None:
        """Every piece comes so much later, in each direction; 0 ends it."""
        self._on_loop(lambda: setattr(self, "_delay_s", seconds))

    def stall(self) -> None:
        """From now on nothing comes through, and nothing is closed."""
        self._on_loop(self._event().clear)

    def go_on(self, *, old_links: bool) -> None:
        """Bytes flow again. `old_links`: those of before the end of the stall too, with all that was held back; else
        they stay silent for ever, as behind a router that forgot them, and only new connections work.
        """

        def resume() -> None:
            if not old_links:
                for link in self._live:
                    link.dead = True
            self._event().set()

        self._on_loop(resume)

    def reset(self) -> int:
        """Every connection breaks at once, with RST to both sides. How many there were."""
        return self._on_loop(lambda: sum(link.abort() for link in list(self._live)))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: pieces go both ways until one side closes."""
        await self._event().wait()
        async with asyncio.timeout(CONNECT_S):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        link = _Link(writer, back)
        self._live.add(link)
        self.links += 1
        ways = [
            asyncio.create_task(self._pump(link, reader, back)),
            asyncio.create_task(self._pump(link, there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # one side is done: so is the other
        finally:
            self._live.discard(link)
            for way in ways:
                way.cancel()
            back.close()  # before the next wait, which the end of the run may break off
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._event().wait()
            if link.dead:
                await asyncio.Event().wait()  # silence until the scenario's end
            writer.write(piece)
            await writer.drain()

    def _event(self) -> asyncio.Event:
        if self._flows is None:
            self._flows = asyncio.Event()
            self._flows.set()
        return self._flows

    def _on_loop(self, do: Callable[[], T]) -> T:
        """Run it where the connections live, and wait for it."""

        async def run() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)


class _Link:
    """Both halves of one connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers, self.dead = writers, False

    def abort(self) -> int:
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                writer.transport.abort()
        return 1

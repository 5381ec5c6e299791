"""Many who listen to a service over raw sockets, on one event loop: when each heard of a change, and nothing else.

Also a bare server to measure them by: it writes the same bytes to all of its connections when it is told to, with
nothing between. Its delays are what the sockets, this machine and the listeners themselves take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from bench.figures import percentile

ANSWER_S = 20.0
LAG_S = 0.002
HEARTBEAT = b"3\r\n:\n\n\r\n"


class Listener(asyncio.Protocol):
    """A connection and its request. `first`: when more than a heartbeat came since `ask` or `forget`; 0: not yet."""

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.first, self._begun = 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by birth
        self.ask()

    def ask(self) -> None:
        """The request, also again."""
        self.forget()
        self.transport.write(self._request)

    def forget(self) -> None:
        """What came is over; wait for the next."""
        self.first = 0.0

    def data_received(self, data: bytes) -> None:
        """Something came. A refusal is a fault of the bench."""
        if data == HEARTBEAT:
            return
        if not self.first:
            self.first = time.perf_counter()
        if not self._begun and not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:200])
        self._begun = True


async def listening(port: int, paths: list[str]) -> list[Listener]:
    """A listener for each path."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(partial(Listener, path), "127.0.0.1", port))[1] for path in paths]


async def until(condition: Callable[[], bool], what: str, every_s: float = 0.005) -> None:
    """Raises RuntimeError: it did not come to that in time."""
    deadline = time.monotonic() + ANSWER_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        await asyncio.sleep(every_s)


class Told:
    """Delays of streams and of long-polls, in seconds."""

    def __init__(self) -> None:
        self.streams, self.polls = list[float](), list[float]()

    def shown(self) -> dict[str, float]:
        """Milliseconds; nothing of those that were not there."""
        return {
            f"{who} {name} ms": round(1e3 * percentile(delays, percent), 1)
            for who, delays in (("stream", self.streams), ("poll", self.polls), ("all", self.streams + self.polls))
            for name, percent in (("p50", 50), ("p99", 99), ("worst", 100))
            if delays
        }


class Audience:
    """Streams and long-polls: of many jobs with one each, and of one job with all of them."""

    def __init__(self, streams: list[Listener], polls: list[Listener]) -> None:
        self.streams, self.polls = streams, polls

    @classmethod
    async def of(cls, port: int, jobs: list[str], *, polls: bool = True) -> Audience:
        """Connected, and the streams have begun."""
        streams = await listening(port, [f"/jobs/{job}/events" for job in jobs])
        await until(lambda: all(one.first for one in streams), "not every stream began")
        return cls(streams, await listening(port, [f"/jobs/{job}?wait=60" for job in jobs]) if polls else [])

    async def heard(self, at: float, told: Told, *, again: bool) -> None:
        """All of them have heard of the change; then `again` long-polls ask again."""
        await until(lambda: all(one.first for one in (*self.streams, *self.polls)), "not everybody heard of it")
        told.streams += [one.first - at for one in self.streams]
        told.polls += [one.first - at for one in self.polls]
        for one in self.polls if again else ():
            one.ask()

    def forget(self) -> None:
        """What the streams were told so far."""
        for one in self.streams:
            one.forget()

    def close(self) -> None:
        """Leave."""
        for one in (*self.streams, *self.polls):
            one.transport.close()


class Lag:
    """How late this event loop is: what it adds to every delay that it measures. `async with Lag() as lag:`."""

    def __init__(self) -> None:
        self.late = list[float]()

    async def __aenter__(self) -> Lag:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + LAG_S
            await asyncio.sleep(LAG_S)
            self.late.append(time.perf_counter() - due)


def serve_bare(orders: Connection, size: int) -> None:
    """A process: says its port on `orders`; from then on each order is answered by `size` bytes to every connection."""
    uvloop.run(_bare(orders, size))


async def _bare(orders: Connection, size: int) -> None:
    there = set[asyncio.Transport]()

    class Bare(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            there.add(cast(asyncio.Transport, transport))

        def data_received(self, data: bytes) -> None:
            pass

    text, over = b"HTTP/1.1 200 OK\r\n".ljust(size), asyncio.Event()

    def obey() -> None:
        if orders.recv() is None:
            over.set()
        for one in there:
            one.write(text)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0, backlog=2048)
    orders.send(server.sockets[0].getsockname()[1])
    loop.add_reader(orders.fileno(), obey)
    await over.wait()

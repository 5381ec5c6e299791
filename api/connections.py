"""The server's side of a connection: uvicorn's protocol with deadlines for slow clients and a bound on connections.

uvicorn waits for a request's header and body for as long as it takes, and for a client to read its answer likewise.
Here each has its time, measured from its beginning, so no trickle of bytes prolongs it:

    header    `header_s` from the connection's start, or from the first byte after another request
    body      `body_s`, and a second more for every `body_bytes_s` bytes that have come
    answer    `answer_s` without room in the socket

After an answer that did not wait for the whole body the rest has `LINGER_S`. Whoever is too late gets 408, where there
is still something to answer, and the connection is closed. Knows HTTP's framing and no route.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import ref

from fastapi import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.problems import problem
from shared.errors import BadRequest, HeaderTooLarge, RequestTimeout, ServiceBusy, SpotterError

CHECK_S = 0.5
AT_ONCE, BREATH_S = 4, 0.002
"""Late connections that are ended in one go, and the time that others have then: 500 of them at once took 0.1 s."""
LINGER_S = 5.0
HEADER_BYTES = 65_536
BUSY_RETRY_S = 2
ALIVE_S = (60, 15, 4)
"""A connection without traffic is asked by TCP after so long, again so often, and given up after so many silences: a
client that vanished without a word is found by nothing else while there is nothing to send."""
BREAK_OFF = "spotter.break_off"
"""Among the scope's extensions: ends an answer that is not whole so that the client sees it."""


def break_off(scope: Scope) -> None:
    """Close the connection behind what was sent of an answer, without its end: it is not whole (RFC 9112, 8)."""
    scope["extensions"][BREAK_OFF]["close"]()


@dataclass
class Patience:
    """How long one process waits for its clients and how many connections it holds; ends those that are too late.

    `draining` is set when the server begins to shut down: answers that are still to come had better come soon.
    """

    header_s: float
    body_s: float
    body_bytes_s: int
    answer_s: float
    most: int
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    held: set[GuardedProtocol] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    def watch(self, one: GuardedProtocol) -> None:
        """Look after a connection until `forget`."""
        self.held.add(one)
        if self._timer is None:
            self._timer = one.loop.call_later(CHECK_S, self._check, one.loop)

    def forget(self, one: GuardedProtocol) -> None:
        """It is closed."""
        self.held.discard(one)

    def _check(self, loop: asyncio.AbstractEventLoop, rest: Sequence[GuardedProtocol] = ()) -> None:
        now, left, ended = loop.time(), list(rest or self.held), 0
        while left and ended < AT_ONCE:
            ended += left.pop().end_if_late(now)
        again_s = BREATH_S if left else CHECK_S
        self._timer = loop.call_later(again_s, self._check, loop, left) if self.held else None


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `patience` is shared by all of the process; the rest of the arguments are uvicorn's."""

    def __init__(self, patience: Patience, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*arguments, **named)
        self._patience = patience
        self._due: float | None = None  # while a request is being read
        self._answer_due: float | None = None  # while the client does not read
        self._in_body = False
        self._began = 0.0
        self._bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 where there are enough."""
        super().connection_made(transport)
        if len(self._patience.held) >= self._patience.most:
            self.refuse(ServiceBusy("All connections are taken; try again shortly.", retry_after_s=BUSY_RETRY_S))
            return
        self._patience.watch(self)
        self._expect_header()
        _keep_alive(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whomever."""
        self._patience.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self.transport.is_closing():
            return
        if self._due is None:
            self._expect_header()
        if not self._in_body:
            self._bytes += len(data)
        super().data_received(data)
        if self._due is not None and not self._in_body and self._bytes > HEADER_BYTES:
            self.refuse(HeaderTooLarge(f"A request's header may hold {HEADER_BYTES} bytes at most."))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._due is None:
            self._expect_header()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The header is there; the body follows, if there is one."""
        self._in_body, self._began, self._bytes = True, self.loop.time(), 0
        self._due = self._began + self._patience.body_s
        super().on_headers_complete()
        if self.cycle is not None:
            # Not the cycle itself: it holds the scope, and each request would wait for the garbage collector.
            self.cycle.scope["extensions"] = {BREAK_OFF: {"close": partial(self._break_off, ref(self.cycle))}}

    def _break_off(self, cycle: ref[RequestResponseCycle]) -> None:
        if (answering := cycle()) is not None:
            answering.disconnected = True  # nothing more is expected of it
        self.transport.close()

    def on_body(self, body: bytes) -> None:
        """A part of the body: it has earned the client some time."""
        self._bytes += len(body)
        if not self.cycle.response_complete:
            self._due = self._began + self._patience.body_s + self._bytes / self._patience.body_bytes_s
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        self._due, self._in_body = None, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written. What of the body is still to come has little time: nobody reads it."""
        if self._due is not None and self._in_body:
            self._due = self.loop.time() + LINGER_S
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read, and there is no room left."""
        self._answer_due = self.loop.time() + self._patience.answer_s
        super().pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._answer_due = None
        super().resume_writing()

    def shutdown(self) -> None:
        """The server takes no more requests, and closes this one when it is idle or answered."""
        self._patience.draining.set()
        super().shutdown()

    def end_if_late(self, now: float) -> bool:
        """Close the connection when one of its deadlines is over. Whether one was."""
        if self._answer_due is not None and now > self._answer_due:
            self.transport.abort()
            return True
        if self._due is not None and now > self._due and not self.pipeline:  # else it is we who do not read
            if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
                self.refuse(RequestTimeout("The request took too long to arrive; send it again, faster."))
            else:
                self.transport.abort()
            return True
        return False

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a problem like everything else."""
        self.refuse(BadRequest("This is not HTTP/1.1."))

    def refuse(self, error: SpotterError) -> None:
        """Answer outside of the application, and close. After an answer to this request: only close."""
        self._due = None
        if self.transport.is_closing():
            return
        answered = self.cycle is not None and self.cycle.response_complete and self._in_body
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not answered:
            self.transport.write(_raw(problem(error, "")))
        self.transport.close()

    def _expect_header(self) -> None:
        self._in_body, self._bytes = False, 0
        self._due = self.loop.time() + self._patience.header_s


def _keep_alive(connection: socket.socket) -> None:
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), ALIVE_S, strict=True):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _raw(answer: Response) -> bytes:
    lines = [b"%s: %s\r\n" % pair for pair in (*answer.raw_headers, (b"connection", b"close"))]
    return b"".join((STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)))

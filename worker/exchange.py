"""One HTTP/1.1 request and its response on one open socket, and the deadline that all of its waits count down to.

In: a connected socket (TLS or not), a request, a deadline. Out: status, headers, at most so many body bytes. It does
not know who may be connected to, what a redirect is, or what the bytes mean. `h11` does the framing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import version
from typing import TypeVar
from urllib.parse import quote, urlsplit

import h11
from ssrfguard import Target

from shared.errors import FetchFailed, FetchTimeout, SourceTooLarge

T = TypeVar("T")

USER_AGENT = f"spotter/{version('spotter-detect')}"
HEADER_BYTES = 65_536
"""A response head (status line, headers, and all 1xx answers before it) above about this is refused."""
HTTP_VERSIONS = (b"1.0", b"1.1")
READ_BYTES = 65_536
WRITE_BYTES = 16_384
DRAIN_BYTES, DRAIN_S = 4096, 1.0
"""How much of the answer to a POST is read, and for how long, so that its sender can finish in peace."""
DEFAULT_PORTS = {"http": 80, "https": 443}


class Deadline:
    """One point in time that every wait of an exchange counts down to."""

    def __init__(self, timeout_s: float) -> None:
        self._at = time.monotonic() + timeout_s

    def within(self, timeout_s: float) -> Deadline:
        """The earlier one of this and `timeout_s` from now."""
        return Deadline(min(timeout_s, self.left()))

    def left(self) -> float:
        """Seconds left, above 0.

        Raises:
            FetchTimeout: none is left.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise FetchTimeout("The server did not answer in the time allowed.")
        return left


def in_time(call: Callable[[], T], deadline: Deadline, slots: threading.Semaphore) -> T:
    """Run a call that knows no timeout of its own, and wait for it until the deadline only.

    The call runs in a daemon thread and holds one of `slots` until it returns, also when nobody waits for it any more:
    so the number of stuck threads has a bound.

    Raises:
        FetchTimeout: neither a slot nor the result came in time.
        Exception: whatever the call raised.
    """
    if not slots.acquire(timeout=deadline.left()):
        raise FetchTimeout("Too many slow fetches are under way.")
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # handed to the waiter, who raises it
            done.set_exception(error)
        finally:
            slots.release()

    threading.Thread(target=work, name="egress", daemon=True).start()
    try:
        return done.result(deadline.left())
    except TimeoutError as error:
        raise FetchTimeout("The server did not answer in the time allowed.") from error


class Exchange:
    """One request and its response on one socket; every wait counts down to the deadline."""

    status: int
    _headers: list[tuple[bytes, bytes]]

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)

    def send(self, request: h11.Request, body: bytes) -> None:
        """Send all and read the response head, skipping 1xx."""
        parts = [self._http.send(request), self._http.send(h11.Data(body)) if body else b""]
        rest = memoryview(b"".join(part or b"" for part in parts))
        self._http.send(h11.EndOfMessage())
        while rest:
            # Piece by piece: `sendall` on TLS renews its timeout with each record.
            self._sock.settimeout(self._deadline.left())
            rest = rest[self._sock.send(rest[:WRITE_BYTES]) :]
        received = 0
        while not isinstance(event := self._http.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                if received >= HEADER_BYTES:
                    raise FetchFailed("The server's response headers are too long.")
                received += self._receive()
        if event.http_version not in HTTP_VERSIONS:
            raise FetchFailed("The server's answer is not HTTP/1.0 or HTTP/1.1.")
        self.status = event.status_code
        self._headers = list(event.headers)

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self._headers if key == name), None)

    def headers(self, name: bytes) -> list[bytes]:
        """Every header of this lower-case name."""
        return [value for key, value in self._headers if key == name]

    def read(self, max_bytes: int) -> bytes:
        """The whole body, as it was sent.

        Raises:
            SourceTooLarge: at byte `max_bytes` + 1.
        """
        body = bytearray()
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
                if len(body) > max_bytes:
                    raise SourceTooLarge(f"The picture has more than {max_bytes} bytes.")
            else:
                self._receive()
        return bytes(body)

    def drain(self) -> None:
        """Read a little of the body. Nothing that happens here changes what the status said."""
        self._deadline = Deadline(DRAIN_S)
        with suppress(OSError, h11.RemoteProtocolError, FetchTimeout, SourceTooLarge):
            self.read(DRAIN_BYTES)

    def _receive(self) -> int:
        self._sock.settimeout(self._deadline.left())
        data = self._sock.recv(READ_BYTES)
        self._http.receive_data(data)  # b"" tells h11 of the end; it raises where that is too early
        return len(data)


def request(method: str, url: str, target: Target, headers: Mapping[str, str]) -> h11.Request:
    """The request head. Host comes from what was judged, not from a second reading of the URL."""
    split = urlsplit(url)
    path = quote(split.path or "/", safe="/%:@!$&'()*+,;=~[]")
    query = quote(split.query, safe="/%:@!$&'()*+,;=~[]?")
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.port != DEFAULT_PORTS[target.scheme]:
        host = f"{host}:{target.port}"
    fixed = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}
    return h11.Request(
        method=method, target=f"{path}?{query}" if query else path, headers=list({**headers, **fixed}.items())
    )

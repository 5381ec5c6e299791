"""Servers for the tests of what leaves the worker: real sockets on 127.0.0.1 that answer with exactly these bytes."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.errors import SourceError
from worker.egress import Egress

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"),)
TIMEOUT_S = 0.6
"""For tests that end in a timeout; the others get 5 s, so that a busy machine does not fail them."""
Handler = Callable[[socket.socket], None]
Serve = Callable[..., "RawServer"]


class RawServer:
    """A listening socket on 127.0.0.1; each connection is counted and handed to `handler` in a thread of its own."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self.requests: list[bytes] = []
        self.stopped = threading.Event()
        self._handler, self._context = handler, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            conn, _ = self._listener.accept()
            if self.stopped.is_set():
                conn.close()
                return
            self.accepted += 1
            self._threads.append(threading.Thread(target=self._serve, args=(conn,)))
            self._threads[-1].start()

    def _serve(self, conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):  # a client that gives up resets: that is the point of most tests
            conn.settimeout(5)
            sock = self._context.wrap_socket(conn, server_side=True) if self._context else conn
            with sock:
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (piece := sock.recv(65536)):
                        return
                    data += piece
                self.requests.append(data)
                self._handler(sock)

    def url(self, path: str = "/a.jpg", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            pass
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()


@contextlib.contextmanager
def raw_servers() -> Iterator[Serve]:
    """`start(handler, tls_context=None)`; all are stopped at the end."""
    servers: list[RawServer] = []

    def start(handler: Handler, context: ssl.SSLContext | None = None) -> RawServer:
        servers.append(RawServer(handler, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answer(text: str, body: bytes = b"") -> Handler:
    """A handler that sends a head of these lines and a body, and closes."""
    head = text.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    return lambda sock: sock.sendall(head + body)


def drip(head: bytes, piece: bytes, every_s: float = 0.05) -> Handler:
    """A handler that sends a head and then one piece after the other for 20 s, or until the client is gone."""

    def handle(sock: socket.socket) -> None:
        pause = threading.Event()
        sock.sendall(head)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            sock.sendall(piece)
            pause.wait(every_s)

    return handle


def held(data: bytes) -> Handler:
    """A handler that sends this and then nothing, until the client hangs up."""

    def handle(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.settimeout(20)
        while sock.recv(1024):
            pass

    return handle


def client(**options: Any) -> Egress:
    return Egress(**{"timeout_s": 5.0, "redirects": 3, "allow": LOOPBACK, **options})


def failing(egress: Egress, url: str, max_bytes: int = 1_000_000) -> SourceError:
    """The error of a fetch, which must come within the deadline and a second, and must give nothing away."""
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        egress.get(url, max_bytes=max_bytes)
    assert time.monotonic() - start < egress.timeout_s + 1
    assert "127.0.0.1" not in caught.value.detail
    assert "upstream words" not in caught.value.detail
    return caught.value

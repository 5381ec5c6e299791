"""Servers that misbehave, on 127.0.0.1: what each does with a connection, after it has read the request or before.

A behaviour gets the open socket and is done when it returns; the socket is then closed. It goes on until the other side
hangs up or `PATIENCE_S` are over. Knows nothing of who connects.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from types import TracebackType

Behaviour = Callable[[socket.socket], None]
PATIENCE_S = 60.0
UPSTREAM = b"words of the other server"
"""Stands in what these servers say; no client of the service may ever read it."""
OK = b"HTTP/1.1 200 OK\r\n"


class BadServer:
    """`with BadServer(behaviour) as server:` listens on `server.port` and counts `server.accepted`."""

    def __init__(self, behaviour: Behaviour, *, reads: bool = True) -> None:
        self.accepted = 0
        self._behaviour, self._reads = behaviour, reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._ended = False

    def __enter__(self) -> BadServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            pass
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._ended:
                connection.close()
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other side hangs up: that is what is waited for
            connection.settimeout(PATIENCE_S)
            if self._reads:
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (piece := connection.recv(65_536)):
                        return
                    data += piece
            self._behaviour(connection)


def says(*pieces: bytes) -> Behaviour:
    """All of it, and closes."""
    return lambda sock: sock.sendall(b"".join(pieces))


def holds(*pieces: bytes) -> Behaviour:
    """All of it, and then nothing until the other side hangs up."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(b"".join(pieces))
        while sock.recv(65_536):
            pass

    return behave


def drips(start: bytes, piece: bytes, every_s: float = 0.05) -> Behaviour:
    """A start, and then one piece after the other."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(start)
        until, pause = time.monotonic() + PATIENCE_S, threading.Event()
        while time.monotonic() < until:
            sock.sendall(piece)
            pause.wait(every_s)

    return behave


def pours(start: bytes, piece: bytes) -> Behaviour:
    """A start, and then pieces as fast as they are taken."""
    return drips(start, piece, 0)


def resets(*pieces: bytes) -> Behaviour:
    """Some of it, and then RST."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(b"".join(pieces))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def bomb() -> bytes:
    """260 kB that gzip makes 256 MB of."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(256)), packer.flush()])


def behaviours() -> dict[str, Behaviour]:
    """Everything that a server may do wrong after it was asked, by name."""
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    packed = bomb()
    return {
        "says nothing": holds(),
        "closes at once": says(),
        "resets at once": resets(),
        "status line in drops": drips(b"HTTP/1.1 200 ", b"O"),
        "headers in drops": drips(OK, b"X-A: b\r\n"),
        "one header in drops": drips(OK + b"X-A: ", b"a"),
        "body in drops": drips(OK + b"Content-Length: 100000\r\n\r\n", b"a"),
        "chunks in drops": drips(chunked, b"1\r\na\r\n"),
        "chunk size in drops": drips(chunked, b"0"),
        "chunk extension without end": pours(chunked + b"1;", b"a" * 4096),
        "trailers without end": pours(chunked + b"1\r\na\r\n0\r\n", b"X-A: b\r\n" * 100),
        "endless body": pours(OK + b"\r\n", UPSTREAM * 1000),
        "endless chunks": pours(chunked, b"ffff\r\n" + b"a" * 65_535 + b"\r\n"),
        "tiny chunks without end": pours(chunked, b"1\r\na\r\n" * 1000),
        "length too long": says(OK + b"Content-Length: 1000\r\n\r\n", UPSTREAM),
        "length too long, held": holds(OK + b"Content-Length: 1000\r\n\r\n", UPSTREAM),
        "length too short": says(OK + b"Content-Length: 3\r\n\r\n", UPSTREAM * 1000),
        "length beyond the limit": says(OK + b"Content-Length: 99999999999\r\n\r\n", UPSTREAM),
        "length of 5,000 digits": says(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", UPSTREAM),
        "length below zero": says(OK + b"Content-Length: -1\r\n\r\n", UPSTREAM),
        "length in words": says(OK + b"Content-Length: ten\r\n\r\n", UPSTREAM),
        "two lengths": says(OK + b"Content-Length: 1\r\nContent-Length: 25\r\n\r\n", UPSTREAM),
        "length and chunks": says(chunked[:-2] + b"Content-Length: 3\r\n\r\n", UPSTREAM),
        "broken chunk": says(chunked, b"zz\r\n", UPSTREAM),
        "chunk below zero": says(chunked, b"-5\r\n", UPSTREAM),
        "chunk of 2^200 bytes": says(chunked, b"f" * 50 + b"\r\n", UPSTREAM),
        "gzip bomb": says(OK + b"Content-Encoding: gzip\r\n\r\n", packed),
        "gzip bomb as transfer": says(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", packed),
        "unknown encoding": says(OK + b"Content-Encoding: br, zstd\r\n\r\n", packed),
        "headers of 1 MB": says(OK + b"X-A: b\r\n" * 131_072 + b"\r\n", UPSTREAM),
        "one header of 1 MB": says(OK + b"X-A: " + b"a" * (1 << 20) + b"\r\n\r\n", UPSTREAM),
        "headers without end": pours(OK, b"X-A: b\r\n" * 1000),
        "status line without end": pours(b"HTTP/1.1 200 ", b"O" * 4096),
        "100 Continue without end": pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "103 with headers without end": pours(b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100),
        "101": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", UPSTREAM),
        "HTTP/0.9": says(UPSTREAM),
        "HTTP/2": says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "HTTP/9.9": says(b"HTTP/9.9 200 OK\r\n\r\n", UPSTREAM),
        "another protocol": says(b"SSH-2.0-" + UPSTREAM + b"\r\n"),
        "NUL in a header": says(OK + b"X-A: a\0b\r\n\r\n", UPSTREAM),
        "NUL in the status": says(b"HTTP/1.1 200 O\0K\r\n\r\n", UPSTREAM),
        "line feed in a header": says(OK + b"X-A: a\n b\r\n\r\n", UPSTREAM),
        "folded headers": says(OK + b"X-A: a\r\n b\r\n c\r\n\r\n", UPSTREAM),
        "status 000": says(b"HTTP/1.1 000 " + UPSTREAM + b"\r\n\r\n"),
        "status 999": says(b"HTTP/1.1 999 " + UPSTREAM + b"\r\n\r\n", UPSTREAM),
        "status 1e3": says(b"HTTP/1.1 1e3 OK\r\n\r\n", UPSTREAM),
        "status 206": says(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\n\r\n", UPSTREAM),
        "status 500": says(b"HTTP/1.1 500 " + UPSTREAM + b"\r\n\r\n", UPSTREAM),
        "status 404": says(b"HTTP/1.1 404 " + UPSTREAM + b"\r\n\r\n", UPSTREAM),
        "reset in the head": resets(OK, b"Content-"),
        "reset in the body": resets(OK, b"Content-Length: 1000\r\n\r\n", UPSTREAM),
        "reset in a chunk": resets(chunked, b"ff\r\n", UPSTREAM),
        "redirect to itself": says(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
        "redirect to nowhere": says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        "redirect to a megabyte": says(b"HTTP/1.1 302 Found\r\nLocation: /" + b"a" * 60_000 + b"\r\n\r\n"),
        "redirect to nonsense": says(b"HTTP/1.1 302 Found\r\nLocation: http://[\xff\xfe\r\n\r\n"),
        "redirect to a file": says(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
        "redirect, slowly": drips(b"HTTP/1.1 302 Found\r\nX-A: ", b"a"),
    }


def handshakes() -> dict[str, Behaviour]:
    """What a server may do wrong before TLS is there, by name. These read no request."""
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"  # a ServerHello of 16 kB that never ends (RFC 8446, 4.1.3)
    return {
        "TLS: says nothing": holds(),
        "TLS: closes at once": says(),
        "TLS: in drops": drips(hello, b"\0"),
        "TLS: one byte": drips(b"\x16", b""),
        "TLS: stops in the middle": holds(hello),
        "TLS: plain HTTP": says(OK, b"Content-Length: 3\r\n\r\nabc"),
        "TLS: noise": pours(b"", bytes(range(256)) * 16),
        "TLS: alert": says(b"\x15\x03\x03\x00\x02\x02\x28"),
        "TLS: resets": resets(hello),
    }

"""One HTTP/1.1 request and its answer, as bytes: what every load generator of the bench sends and how it judges.

Raw on purpose: an ordinary HTTP client costs more CPU, and it is the cores of the service that it takes it from.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0
"""For any one answer; more than the longest `Prefer: wait` that a bench sends."""


@dataclass(frozen=True)
class Post:
    """What to send, and which answers are right.

    Attributes:
        path: with the leading slash.
        body: file that is the whole body.
        prefer: value of the header `Prefer`; empty: none.
        status: of a right answer.
        text: that a right answer's body holds.
    """

    path: str
    body: Path
    content_type: str
    prefer: str = ""
    status: int = 200
    text: str = '"status":"succeeded"'

    def raw(self, port: int) -> bytes:
        """The whole request, to 127.0.0.1:`port`."""
        data = self.body.read_bytes()
        prefer = f"Prefer: {self.prefer}\r\n" if self.prefer else ""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {self.content_type}\r\n{prefer}"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def wrong(self, status: int, body: bytes) -> str | None:
        """None for a right answer; else its beginning, for a message."""
        if status == self.status and self.text.encode() in body:
            return None
        return f"{status} {body[:200].decode(errors='replace')}"


def detection(image: Path) -> Post:
    """One JPEG as the raw body of a job that is waited for."""
    return Post("/jobs", image, "image/jpeg", prefer="wait=30")


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length. Raises TimeoutError, IncompleteReadError."""
    async with asyncio.timeout(TIMEOUT_S):
        status, length = parse_head(await reader.readuntil(b"\r\n\r\n"))
        return status, await reader.readexactly(length)


def exchange(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """One request on an open connection, blocking. Raises OSError (a timeout too)."""
    connection.settimeout(TIMEOUT_S)
    connection.sendall(request)
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    status, length = parse_head(bytes(data[: end + 4]))
    while len(data) < end + 4 + length:
        data += _more(connection)
    return status, bytes(data[end + 4 :])


def parse_head(head: bytes) -> tuple[int, int]:
    """Status and Content-Length of an answer's head. Raises ValueError: there is no length."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" not in fields:
        raise ValueError(f"an answer without Content-Length: {first}")
    return int(first.split(" ")[1]), int(fields["content-length"])


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("the connection was closed within an answer")
    return data

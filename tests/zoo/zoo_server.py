"""A small HTTP server on 127.0.0.1 for download tests, whose answers a test sets path by path."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """What one path answers.

    Attributes:
        ranges: whether `Range` is honoured.
        cuts: after how many body bytes the connection breaks, request by request; whole once it is used up.
        silent: never answers, until the server stops.
    """

    body: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    ranges: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)
    silent: bool = False
    location: str | None = None


@dataclass
class Server:
    """`paths` may change while it runs; `seen` lists (path, Range header, Authorization header) of each request."""

    port: int
    paths: dict[str, Reply] = field(default_factory=dict)
    seen: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server for the length of the block."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            server.seen.append((self.path, self.headers["Range"], self.headers["Authorization"]))
            self.close_connection = True
            reply = server.paths.get(self.path, Reply(b"none", 404, "text/plain"))
            if reply.silent:
                stop.wait(30)
                return
            body, status = reply.body, reply.status
            wanted = self.headers["Range"]
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and reply.ranges else 0
            if start:
                body, status = body[start:], 206
            self.send_response(status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}")
            if reply.location:
                self.send_header("Location", reply.location)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Connection", "close")
            if not reply.chunked:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: reply.cuts.pop(0)] if reply.cuts else body)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = False
    httpd.block_on_close = True
    server = Server(httpd.server_address[1])
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()

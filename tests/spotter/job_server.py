"""A tiny real HTTP server that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOB: dict[str, Any] = {
    "id": "job_1",
    "status": "succeeded",
    "model": {"name": "yolov3-tiny", "version": "1", "sha256": "00"},
    "created_at": "2026-01-02T03:04:05.678Z",
    "queued_at": "2026-01-02T03:04:05.678Z",
    "started_at": "2026-01-02T03:04:06.000Z",
    "finished_at": "2026-01-02T03:04:07.000Z",
    "expires_at": None,
    "attempts": 1,
    "queue_position": None,
    "counts": {"total": 1, "queued": 0, "running": 0, "succeeded": 1, "failed": 0, "canceled": 0, "expired": 0},
    "results": [
        {
            "index": 0,
            "id": "dog.jpg",
            "status": "succeeded",
            "attempts": 1,
            "image": {"width": 768, "height": 576},
            "detections": [
                {
                    "label": "dog",
                    "class_id": 16,
                    "confidence": 0.8291,
                    "box": {"x": 124.1, "y": 219.8, "width": 258.2, "height": 298.0},
                }
            ],
            "error": None,
            "timings": {"total_ms": 13.4, "provider": "cpu"},
        }
    ],
    "metadata": {"camera": "7"},
    "links": {},
}
FAILED = {
    **JOB,
    "status": "failed",
    "results": [
        {
            "index": 0,
            "id": None,
            "status": "failed",
            "image": None,
            "detections": None,
            "error": {"code": "invalid_image", "title": "Not a readable picture", "detail": "This is no picture."},
        }
    ],
}
QUEUED = {**JOB, "status": "queued", "finished_at": None, "results": [], "queue_position": 3}


@dataclass
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class JobServer:
    """`script` holds (status, body, headers) answers, used up in order; the last one stays."""

    url: str = ""
    script: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def will_answer(self, *bodies: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Add answers: JSON values, or bytes as they are."""
        self.script += [(status, body, headers or {}) for body in bodies]


@contextmanager
def serving() -> Iterator[JobServer]:
    """The server on a free port of 127.0.0.1."""
    state = JobServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.asked.append(Asked(self.command, self.path, headers, body))
            status, content, extra = state.script.pop(0) if len(state.script) > 1 else state.script[0]
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(timeout=10)

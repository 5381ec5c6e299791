"""An endpoint that keeps what it gets and answers by path: /ok, /fail, /gone, /slow."""

from __future__ import annotations

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUSES = {"/ok": 204, "/gone": 410, "/slow": 200}


class Endpoint:
    """On a loopback address and port of its own; /slow answers when `release` is set.

    Attributes:
        got: headers (lower case) and bodies by path.
        most_inside: requests at once, at most.
        answers: status by path, 500 for others.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.got: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        self.inside = self.most_inside = 0
        self.answers = dict(STATUSES)
        self.release = threading.Event()
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    outer.got[self.path].append(({k.lower(): v for k, v in self.headers.items()}, body))
                    outer.inside += 1
                    outer.most_inside = max(outer.most_inside, outer.inside)
                if self.path == "/slow":
                    outer.release.wait(20)
                with lock:
                    outer.inside -= 1
                self.send_response(outer.answers.get(self.path, 500))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._host = host
        self.server = Server((host, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        """Where `path` is served."""
        return f"http://{self._host}:{self.server.server_port}{path}"

    def close(self) -> None:
        """Let everybody go, and end."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

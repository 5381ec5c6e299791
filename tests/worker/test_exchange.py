"""HTTP on real sockets: every framing that is right, and servers that misbehave, each ended in time and coded."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import FetchFailed, FetchTimeout, SourceError, SourceNotFound, SourceTooLarge
from tests.worker.raw_server import TIMEOUT_S, Handler, Serve, answer, client, drip, failing, held, raw_servers
from worker import egress as egress_module
from worker.exchange import USER_AGENT, Deadline, in_time

PICTURE = bytes(range(256)) * 100


@pytest.fixture
def serve() -> Iterator[Serve]:
    with raw_servers() as start:
        yield start


# -- what works ------------------------------------------------------------------------------------------------------


def test_a_picture_arrives_whole_and_the_request_is_plain(serve: Serve) -> None:
    server = serve(answer(f"HTTP/1.1 200 OK\nContent-Length: {len(PICTURE)}", PICTURE))
    assert client().get(server.url("/ä b.jpg?q=ü&x=%20".replace(" ", "%20")), max_bytes=len(PICTURE)) == PICTURE
    head, *lines = server.requests[0].decode().split("\r\n")
    sent = dict(line.lower().split(": ", 1) for line in lines if line)
    assert head == "GET /%C3%A4%20b.jpg?q=%C3%BC&x=%20 HTTP/1.1"
    assert sent == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": USER_AGENT,
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }
    assert USER_AGENT.startswith("spotter/")


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        ("HTTP/1.0 200 OK", b"until the end", b"until the end"),
        ("HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Length: 2", b"ab", b"ab"),
        ("HTTP/1.1 200 OK\nContent-Length: 2", b"abcdef", b"ab"),
        ("HTTP/1.1 103 Early Hints\n\nHTTP/1.1 200 OK\nContent-Length: 2", b"ab", b"ab"),
        ("HTTP/1.1 200 OK\nContent-Length: 0", b"", b""),
    ],
)
def test_every_framing_of_a_body(serve: Serve, head: str, body: bytes, expected: bytes) -> None:
    assert client().get(serve(answer(head, body)).url(), max_bytes=100) == expected


def test_redirects_are_followed_and_judged(serve: Serve) -> None:
    last = serve(answer("HTTP/1.1 200 OK\nContent-Length: 2", b"ok"))
    relative = serve(lambda sock: None)
    relative._handler = lambda sock: (
        sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: ../b\r\n\r\n")
        if len(relative.requests) == 1
        else sock.sendall(f"HTTP/1.1 308 P\r\nLocation: {last.url('/c')}\r\n\r\n".encode())
    )
    assert client().get(relative.url("/x/a"), max_bytes=10) == b"ok"
    assert [request.split()[1] for request in relative.requests] == [b"/x/a", b"/b"]
    assert last.requests[0].startswith(b"GET /c ")


def test_the_environment_names_no_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client().get(serve(answer("HTTP/1.1 200 OK\nContent-Length: 1", b"x")).url(), max_bytes=1) == b"x"


def test_many_threads_share_one_client(serve: Serve) -> None:
    server = serve(answer(f"HTTP/1.1 200 OK\nContent-Length: {len(PICTURE)}", PICTURE))
    egress, got = client(timeout_s=10), []
    threads = [
        threading.Thread(target=lambda: got.append(egress.get(server.url(), max_bytes=10**6))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert got == [PICTURE] * 16


# -- servers that misbehave ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_not_found(serve: Serve, status: int) -> None:
    server = serve(answer(f"HTTP/1.1 {status} upstream words\nContent-Length: 14", b"upstream words"))
    assert type(failing(client(), server.url())) is SourceNotFound


FAILURES: dict[str, tuple[Handler, type[SourceError]]] = {
    "status 403": (answer("HTTP/1.1 403 upstream words\nContent-Length: 0"), FetchFailed),
    "status 500": (answer("HTTP/1.1 500 upstream words\nContent-Length: 0"), FetchFailed),
    "status 204": (answer("HTTP/1.1 204 No Content"), FetchFailed),
    "status 206": (answer("HTTP/1.1 206 Partial Content\nContent-Length: 1", b"x"), FetchFailed),
    "never answers": (held(b""), FetchTimeout),
    "closes at once": (lambda sock: None, FetchFailed),
    "not HTTP": (answer("SSH-2.0-upstream words"), FetchFailed),
    "drips the head": (drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), FetchTimeout),
    "drips headers": (drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), FetchTimeout),
    "drips the body": (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), FetchTimeout),
    "drips chunks": (drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), FetchTimeout),
    "endless 1xx": (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400, 0), FetchFailed),
    "endless header": (drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 9999, 0), FetchFailed),
    "body too short": (answer("HTTP/1.1 200 OK\nContent-Length: 999", b"abc"), FetchFailed),
    "body too short, held": (held(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nabc"), FetchTimeout),
    "bad length": (answer("HTTP/1.1 200 OK\nContent-Length: -1", b"abc"), FetchFailed),
    "two lengths": (answer("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2", b"abc"), FetchFailed),
    "broken chunk": (answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"zz\r\nabc"), FetchFailed),
    "announced too large": (answer("HTTP/1.1 200 OK\nContent-Length: 1000001", b"abc"), SourceTooLarge),
    "endless body": (drip(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65536, 0), SourceTooLarge),
    "gzip": (answer("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3", b"abc"), FetchFailed),
    "gzip in a second header": (
        answer("HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Encoding: gzip\nContent-Length: 3", b"abc"),
        FetchFailed,
    ),
    "gzip transfer": (answer("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked", b"abc"), FetchFailed),
    "redirect to nowhere": (answer("HTTP/1.1 302 Found\nContent-Length: 0"), FetchFailed),
    "HTTP/9.9": (answer("HTTP/9.9 200 OK\nContent-Length: 3", b"abc"), FetchFailed),
    "switches protocols": (answer("HTTP/1.1 101 Switching\nUpgrade: h2c"), FetchFailed),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_bad_server_ends_in_time_and_coded(serve: Serve, case: str) -> None:
    handler, expected = FAILURES[case]
    timeout_s = TIMEOUT_S if expected is FetchTimeout else 5.0
    assert type(failing(client(timeout_s=timeout_s), serve(handler).url())) is expected


def test_a_reset_in_the_middle(serve: Serve) -> None:
    def reset(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close sends RST

    assert type(failing(client(), serve(reset).url())) is FetchFailed


def test_nobody_listens_or_the_name_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert type(failing(client(), f"http://127.0.0.1:{port}/")) is FetchFailed

    def unknown(*query: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "upstream words")

    assert type(failing(client(resolver=unknown), "http://no.such.example/")) is FetchFailed


def test_a_full_backlog_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(4):  # the kernel drops the SYNs of whoever comes after these
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert type(failing(client(timeout_s=TIMEOUT_S), url)) is FetchTimeout


def test_a_slow_name_server_has_a_deadline_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def stuck(*query: object) -> list[Any]:
        entered.release()
        release.wait(20)
        return []

    monkeypatch.setattr(egress_module, "DNS_SLOTS", 1)
    egress = client(resolver=stuck, timeout_s=TIMEOUT_S)
    try:
        assert type(failing(egress, "http://slow.example/")) is FetchTimeout
        assert entered.acquire(timeout=5)
        assert type(failing(egress, "http://slow.example/")) is FetchTimeout
        assert not entered.acquire(blocking=False)  # the one slot is still held: no second thread was started
    finally:
        release.set()


def test_a_look_up_ends_before_the_fetch_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(egress_module, "DNS_S", 0.2)
    start = time.monotonic()
    try:
        egress = client(resolver=lambda *query: [release.wait(20)], timeout_s=60)
        assert type(failing(egress, "http://slow.example/")) is FetchTimeout
    finally:
        release.set()
    assert time.monotonic() - start < 5


def test_a_dead_first_address_leaves_time_for_the_next(serve: Serve) -> None:
    server = serve(answer("HTTP/1.1 200 OK\nContent-Length: 1", b"x"))

    def two(host: str, port: int, *rest: int) -> list[Any]:
        return [
            *socket.getaddrinfo("127.0.0.2", port, *rest),  # the server listens on .1 only
            *socket.getaddrinfo("127.0.0.1", port, *rest),
        ]

    assert client(resolver=two).get(server.url(host="two.example"), max_bytes=1) == b"x"


def test_in_time_hands_errors_over() -> None:
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, Deadline(5), threading.Semaphore(1))
    with pytest.raises(FetchTimeout):
        Deadline(0).left()


# -- POST ------------------------------------------------------------------------------------------------------------


def test_post_sends_the_bytes_and_reports_the_status() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            seen.append((headers, self.rfile.read(int(headers["content-length"]))))
            self.send_response(503)
            self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(b"upstream words" * 1000)

        def log_message(self, format: str, *args: object) -> None:
            pass

    body = bytes(range(256)) * 2000
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/hook"
            result = client().post(url, body, {"Content-Type": "application/json", "X-A": "b"}, timeout_s=5)
        finally:
            server.shutdown()
            thread.join(5)
    assert (result.status, result.retry_after) == (503, "7")
    assert 0 < result.latency_ms < 5000
    headers, received = seen[0]
    assert received == body
    assert (headers["content-type"], headers["x-a"], headers["user-agent"]) == ("application/json", "b", USER_AGENT)


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (answer("HTTP/1.1 204 No Content"), 204),
        (answer("HTTP/1.1 302 Found\nLocation: http://127.0.0.1/\nContent-Length: 0"), 302),
        (answer("HTTP/1.1 410 Gone\nContent-Length: 0"), 410),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), 200),
        (drip(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65536, 0), 200),
        (answer("HTTP/1.1 200 OK\nContent-Length: 999", b"abc"), 200),
    ],
)
def test_post_takes_the_status_as_it_is(serve: Serve, handler: Handler, status: int) -> None:
    server = serve(handler)
    start = time.monotonic()
    assert client().post(server.url(), b"{}", {}, timeout_s=2).status == status
    assert time.monotonic() - start < 2
    assert server.accepted == 1


def test_post_has_a_deadline_while_it_sends() -> None:
    """A receiver that reads nothing: the body stays in the buffers, and sending must not wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start, url = time.monotonic(), f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(FetchTimeout):
            client().post(url, bytes(30_000_000), {}, timeout_s=TIMEOUT_S)
        assert time.monotonic() - start < TIMEOUT_S + 1

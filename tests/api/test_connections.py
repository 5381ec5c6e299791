"""Slow clients on real sockets: each is ended in its time, with a problem where there is something to answer."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.connections import AT_ONCE, Patience
from tests.api.conftest import Serve

PATIENCE = {"header_timeout_s": 0.6, "body_timeout_s": 0.6, "answer_timeout_s": 0.6, "body_rate_bytes": 100_000}
LONGEST_S = 3.0
POST = b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(**PATIENCE)


@pytest.fixture
def dial(api: httpx.Client) -> Iterator[Callable[[], socket.socket]]:
    with ExitStack() as held:
        yield lambda: held.enter_context(socket.create_connection(("127.0.0.1", api.base_url.port or 0), timeout=10))


def rest(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
    except ConnectionResetError:
        pass
    return data


def code(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    problem = json.loads(body)
    assert str(problem["status"]).encode() == head.split(b" ")[1]
    return problem["status"], problem["code"]


def trickle(connection: socket.socket, first: bytes, drop: bytes) -> tuple[bytes, float]:
    """Send `first`, then a drop every 50 ms until the other side closes; its answer and after how long it came."""
    began, ended = time.monotonic(), threading.Event()
    connection.sendall(first)

    def send() -> None:
        while not ended.wait(0.05):
            try:
                connection.sendall(drop)
            except OSError:
                return

    dripping = threading.Thread(target=send)
    dripping.start()
    answer = rest(connection)
    ended.set()
    dripping.join()
    return answer, time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\n", b"A: b\r\n"),
        (b"GET /healthz HTTP/1.1\r\nA: ", b"b"),
        (POST + b"Content-Length: 1000000\r\n\r\n", b"b"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nb\r\n"),
    ],
    ids=["nothing", "fields", "one field", "body", "chunks"],
)
def test_a_trickle_prolongs_nothing(dial: Callable[[], socket.socket], first: bytes, drop: bytes) -> None:
    answer, took_s = trickle(dial(), first, drop)
    assert took_s < LONGEST_S
    assert answer == b"" or code(answer) == (408, "request_timeout")


def test_silence_is_ended_as_well(dial: Callable[[], socket.socket]) -> None:
    began = time.monotonic()
    assert code(rest(dial())) == (408, "request_timeout")
    waiting = dial()
    waiting.sendall(POST + b"Content-Length: 5\r\n\r\nab")
    assert code(rest(waiting)) == (408, "request_timeout")
    assert time.monotonic() - began < 2 * LONGEST_S


def test_a_body_that_comes_fast_enough_has_the_time_it_needs(api: httpx.Client) -> None:
    def steady() -> Iterator[bytes]:
        for _ in range(20):  # 2 s in all, more than three times the first allowance
            time.sleep(0.1)
            yield b"x" * 12_000

    answer = api.post("/jobs", content=steady(), headers={"content-type": "image/jpeg"})
    assert answer.status_code == 202


def test_a_held_answer_is_no_slow_client(api: httpx.Client) -> None:
    job = api.post("/jobs", json={"image": {"url": "https://example.com/dog.jpg"}}).json()["id"]
    began = time.monotonic()
    assert api.get(f"/jobs/{job}?wait=2").status_code == 200
    assert time.monotonic() - began > 1.5


def test_a_client_that_does_not_read_is_let_go(api: httpx.Client, dial: Callable[[], socket.socket]) -> None:
    picture = b"\xff\xd8\xff" + b"x" * 15_000_000
    job = api.post("/jobs", content=picture, headers={"content-type": "image/jpeg"}).json()["id"]
    connection = dial()
    connection.sendall(f"GET /jobs/{job}/pictures/0 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    time.sleep(LONGEST_S / 2)  # nothing to wait for: it is the not reading that counts
    assert len(rest(connection)) < len(picture)


def test_a_body_that_nobody_reads_has_little_time(
    dial: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.connections.LINGER_S", 0.3)
    connection = dial()
    connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
    answer, took_s = trickle(connection, b"x", b"x" * 1000)
    assert answer.startswith(b"HTTP/1.1 404")
    assert took_s < LONGEST_S
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\x00\x01\x02\r\n\r\n", (400, "bad_request")),
        (b"GET / HTTP/9.9\r\n\r\n", (400, "bad_request")),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400, "bad_request")),
        (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, "bad_request")),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 200_000, (431, "header_too_large")),
    ],
)
def test_what_is_no_request_is_a_problem(
    dial: Callable[[], socket.socket], sent: bytes, expected: tuple[int, str]
) -> None:
    connection = dial()
    connection.sendall(sent)
    assert code(rest(connection)) == expected


def test_there_is_a_bound_on_connections(serve: Serve) -> None:
    api = serve(max_connections=3)
    with ExitStack() as held:
        port = api.base_url.port or 0
        for _ in range(3):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        refused = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert code(rest(refused)) == (503, "service_busy")
    deadline = time.monotonic() + 5
    while True:  # the three are gone: there is room again
        try:
            assert api.get("/healthz").status_code == 200
            break
        except (httpx.TransportError, AssertionError):
            assert time.monotonic() < deadline


def test_a_client_that_leaves_is_no_error(
    dial: Callable[[], socket.socket], api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        leaving = dial()
        leaving.sendall(POST + b"Content-Length: 5\r\n\r\nab")
        leaving.close()
        trickle(dial(), POST + b"Content-Length: 1000000\r\n\r\n", b"b")
    assert api.get("/healthz").status_code == 200
    assert [record.getMessage() for record in caplog.records] == []


class Late:
    """A connection whose deadline is over; notes the moment at which it was ended."""

    def __init__(self, patience: Patience, ended: list[float]) -> None:
        self.loop, self._patience, self._ended = asyncio.get_running_loop(), patience, ended

    def end_if_late(self, now: float) -> bool:
        self._ended.append(now)
        self._patience.forget(self)  # type: ignore[arg-type]
        return True


def test_many_late_connections_are_ended_in_small_groups() -> None:
    """Others are answered in between; and all of them are gone soon."""

    async def end_all() -> list[float]:
        patience, ended = Patience(1, 1, 1, 1, most=1000), list[float]()
        for _ in range(200):
            patience.watch(Late(patience, ended))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            while patience.held:
                await asyncio.sleep(0.01)
        return ended

    groups = Counter(asyncio.run(end_all()))
    assert groups.total() == 200
    assert max(groups.values()) == AT_ONCE


def test_a_client_that_vanished_without_a_word_is_found_by_tcp(api: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", api.base_url.port or 0)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        theirs, ours = client.getpeername()[1], client.getsockname()[1]
        # proc_net_tcp.rst: the timer that runs (02: keep-alive), and when it is due, in hundredths of a second
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (timer,) = [row[5] for row in rows if row[1].endswith(f":{theirs:04X}") and row[2].endswith(f":{ours:04X}")]
        kind, due = timer.split(":")
        assert (kind, 50 < int(due, 16) / 100 <= 61) == ("02", True)


def test_what_a_request_took_is_given_back_at_once(api: httpx.Client) -> None:
    """Not when the garbage collector comes: with full collections as rare as an API process has them, that is after
    20,000 requests, and 22 MB.
    """
    api.post("/jobs", json={"image": {"url": "https://example.com/a.jpg"}})
    gc.collect()
    gc.disable()
    try:
        for _ in range(40):
            assert api.get("/jobs").status_code == 200
            assert api.post("/jobs", content=b"\xff\xd8\xff", headers={"content-type": "image/jpeg"}).status_code < 500
        assert sum(type(one) is RequestResponseCycle for one in gc.get_objects()) < 5
    finally:
        gc.enable()

"""The load generators: what they send, when, which answers they take for right, and how their output is read."""

from __future__ import annotations

import asyncio
import http.server
import itertools
import json
import shutil
import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.closedloop import LoadError, closed_loop, parse
from bench.exchange import Post, detection, parse_head, read_answer
from bench.openloop import schedule

SEEN = {"requests": 10, "seconds": 2.0, "wrong": 0, "lost": 0, "example": ""}
TIMES = {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "p999_ms": 4.0, "max_ms": 5.0}


def test_the_last_line_is_read_and_gives_a_rate() -> None:
    load = parse("wrk", "Running 2s test\n  Latency 1ms\n" + json.dumps(SEEN | TIMES) + "\n")
    assert (load.rate, load.p99_ms, load.generator) == (5.0, 3.0, "wrk")


@pytest.mark.parametrize("bad", [{"wrong": 1, "example": "503 busy"}, {"lost": 2}, {"requests": 0}])
def test_a_rate_of_wrong_or_lost_answers_is_no_rate(bad: dict[str, object]) -> None:
    with pytest.raises(LoadError, match=str(bad.get("example", "of"))):
        parse("wrk", json.dumps(SEEN | TIMES | bad))


def test_a_request_is_http_as_written(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(b"\xff\xd8\xff")
    head, _, body = detection(image).raw(8000).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /jobs HTTP/1.1"
    assert {b"Host: 127.0.0.1:8000", b"Content-Length: 3", b"Prefer: wait=30"} <= set(head.split(b"\r\n"))
    assert body == b"\xff\xd8\xff"


@pytest.mark.parametrize(
    ("status", "body", "right"),
    [(200, b'{"status":"succeeded"}', True), (202, b'{"status":"succeeded"}', False), (200, b'{"status":"run', False)],
)
def test_only_the_right_answer_is_right(status: int, body: bytes, right: bool) -> None:
    assert (detection(Path("a.jpg")).wrong(status, body) is None) is right


def test_an_answer_is_read_to_its_length_and_no_further() -> None:
    async def read() -> tuple[int, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(b"HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\nx: y\r\n\r\nbodyHTTP/1.1 200")
        return await read_answer(reader)

    assert asyncio.run(read()) == (202, b"body")
    with pytest.raises(ValueError, match="Content-Length"):
        parse_head(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_arrivals_are_poisson_and_the_same_for_the_same_seed() -> None:
    times = schedule(50, 400, seed=3)
    assert times == schedule(50, 400, seed=3) != schedule(50, 400, seed=4)
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 400
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # Exponential gaps: mean and standard deviation are both 1 / rate; five standard errors of 20,000 gaps are 3.5 %.
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.035)
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05)


class _Answer(http.server.BaseHTTPRequestHandler):
    """Every third answer says that the job failed."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        _Answer.count += 1
        body = b'{"status":"failed"}' if _Answer.count % 3 == 0 else b'{"status":"succeeded"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(5)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("text", ['"status":', '"status":"succeeded"'])
def test_wrk_posts_the_file_and_counts_wrong_answers(port: int, tmp_path: Path, text: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"\0picture\xff" * 100)
    post = Post("/jobs", body, "image/jpeg", prefer="wait=30", text=text)
    if text == '"status":':
        assert closed_loop(port, post, clients=1, seconds=1).requests > 1
    else:
        with pytest.raises(LoadError, match=r'200 \{"status":"failed"\}'):
            closed_loop(port, post, clients=1, seconds=1)

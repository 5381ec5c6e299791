"""The fault bench must be able to find a fault: its ledger, its watcher, its arithmetic and its page."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.faults.__main__ import PAGE
from bench.faults.client import Client
from bench.faults.ledger import Ledger
from bench.faults.load import Load
from bench.faults.page import by_hand, measured, page
from bench.faults.recovery import recoveries
from bench.faults.roster import SCENARIOS
from bench.faults.scenario import chance, parser
from bench.faults.site import Site
from bench.faults.watch import Ended, Watcher
from bench.pictures import PictureServer

MACHINE = {
    "cpu": "Some CPU", "cores": 2, "memory_gib": 4.0, "system": "Linux 6", "python": "3.11.7",
    "date": "2026-11-21 08:00 UTC", "commit": "abc1234",
}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """Answers as a service with faults would: `jobs` by id, one answer after the other, the last again and again."""

    protocol_version = "HTTP/1.1"
    jobs: dict[str, list[tuple[int, str]]]
    posts: list[tuple[int, dict[str, str], dict[str, Any]]]
    keys: list[str]

    def do_GET(self) -> None:
        answers = self.jobs[self.path.split("?")[0].rpartition("/")[2]]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.answer(status, {}, body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        status, headers, document = self.posts.pop(0)
        self.answer(status, headers, json.dumps(document))

    def answer(self, status: int, headers: dict[str, str], body: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[int, type[Service]]]:
    """Its port, and the class whose `jobs`, `posts` and `keys` it works with."""
    mine = type("Mine", (Service,), {"jobs": {}, "posts": [], "keys": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), mine)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, mine
    server.shutdown()
    server.server_close()


def job(status: str, attempts: int = 1) -> tuple[int, str]:
    finished = "2026-11-21T10:00:00.500Z" if status == "succeeded" else None
    return 200, json.dumps({"status": status, "attempts": attempts, "finished_at": finished, "results": []})


def test_the_ledger_is_on_disk_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.add("job_1", "key-1")
    (line,) = (tmp_path / "ledger").read_text().splitlines()
    assert json.loads(line) == {"id": "job_1", "key": "key-1", "at": ledger.entries()[0].at}
    before = ledger.sha256()
    ledger.add("job_2", "key-2")
    assert ledger.sha256() != before
    assert len(ledger) == 2


def test_the_watcher_finds_what_is_lost_and_what_changed(tmp_path: Path, service: tuple[int, type[Service]]) -> None:
    port, mine = service
    mine.jobs |= {
        "well": [job("running"), job("succeeded")],
        "stuck": [job("running")],
        "gone": [(404, "{}")],
        "changed": [job("succeeded"), job("succeeded", 2)],
        "back": [job("succeeded"), job("running"), job("succeeded")],
        "vanished": [job("succeeded"), (404, "{}")],
    }
    ledger = Ledger(tmp_path / "ledger")
    for name in mine.jobs:
        ledger.add(name, f"k-{name}")
    watcher = Watcher(lambda: Client(port), ledger, random.Random(1))
    watcher.start()
    verdict = watcher.settle(1.0)
    assert verdict.jobs == 6
    assert sorted(verdict.lost) == ["gone", "stuck"]
    assert set(verdict.changed) == {"changed", "back", "vanished"}
    assert not verdict.kept
    assert verdict.ended["well"].finished == 1795255200.5
    assert verdict.statuses == {"succeeded": 4}


def test_a_watcher_that_finds_nothing_says_so(tmp_path: Path, service: tuple[int, type[Service]]) -> None:
    port, mine = service
    mine.jobs["well"] = [job("queued"), job("succeeded")]
    ledger = Ledger(tmp_path / "ledger")
    ledger.add("well", "k-0")
    watcher = Watcher(lambda: Client(port), ledger, random.Random(1))
    watcher.start()
    verdict = watcher.settle(10)
    assert verdict.kept
    assert verdict.looks >= 2


def test_the_load_tries_again_with_the_same_key_and_keeps_what_it_was_told(
    tmp_path: Path, service: tuple[int, type[Service]]
) -> None:
    port, mine = service
    problem = {"Content-Type": "application/problem+json"}
    mine.posts += [
        (503, problem | {"Retry-After": "5"}, {"code": "store_unavailable"}),
        (503, problem, {"code": "store_unavailable"}),  # without Retry-After: wrong
        (500, problem, {"code": "internal"}),
        (202, {}, {"id": "job_1"}),
    ]
    ledger = Ledger(tmp_path / "ledger")
    load = Load(lambda: Client(port), ledger, lambda n: {"n": n}, total=1, rate=0, chance=random.Random(1), name="k")
    load.start()
    load.join(20)
    assert [entry.id for entry in ledger.entries()] == ["job_1"]
    assert mine.keys == ["k-0"] * 4
    assert [one.code for one in load.refused] == ["store_unavailable"]
    assert dict(load.wrong) == {"503 store_unavailable": 1, "500 internal": 1}


def test_recovery_is_from_the_kill_to_the_next_attempt_or_the_end() -> None:
    def end(at: float) -> Ended:
        return Ended("", "succeeded", 1, at, ())

    fetched = {1: [10.0], 2: [10.0, 14.0], 3: [10.0, 14.0, 25.0], 4: [30.0, 31.0]}
    ended = {1: end(11.0), 2: end(15.0), 3: end(26.0), 4: end(32.0)}
    # 2: broken off at 12, done at 15. 3: broken off at 12 and 20, begun again at 14, done at 26. 4: no kill.
    assert sorted(recoveries([12.0, 20.0], fetched, ended)) == [2.0, 3.0, 6.0]


def test_the_site_takes_its_time_and_notes_every_fetch() -> None:
    with Site(chance(1, "site"), 0.0, 0.01) as site:
        for number in (3, 4, 3):
            with urllib.request.urlopen(site.url(number)) as answer:
                assert answer.read()[:4] == b"\x89PNG"
        assert {number: len(times) for number, times in site.fetched().items()} == {3: 2, 4: 1}
        assert len(site.since(site.fetched()[4][0])) == 1


def test_pictures_without_a_wait_come_at_once() -> None:
    with PictureServer(b"bytes") as server, urllib.request.urlopen(f"http://127.0.0.1:{server.port}/x") as answer:
        assert answer.read() == b"bytes"


def test_sizes_come_from_the_form_unless_they_are_given() -> None:
    line = parser("", {"jobs": 1000, "lease": 10.0}, {"jobs": 10})
    assert (line.read([]).jobs, line.read([]).lease) == (1000, 10.0)
    assert (line.read(["--short"]).jobs, line.read(["--short"]).lease) == (10, 10.0)
    assert line.read(["--short", "--jobs", "7"]).jobs == 7


def test_the_page_says_what_held_and_keeps_what_was_written_by_hand() -> None:
    document = {
        "scenario": "worker_kills", "seed": 3, "short": False, "command": "python -m bench.faults.worker_kills",
        "seconds": 12.3, "load": "1,000 jobs", "fault": "kills", "reach": "0 lost", "held": False,
        "measured": {"jobs": 1000, "final states": {"succeeded": 999}, "times": [1.5, 2]},
    }  # fmt: skip
    first = page({"worker_kills": {"document": document, "machine": MACHINE}}, "\n\nWords.\n")
    assert "| Worker kills | 1,000 jobs | kills | 0 lost | **no** | jobs 1,000; final states succeeded 999; " in first
    assert page({"worker_kills": {"document": document, "machine": MACHINE}}, by_hand(first)) == first
    assert first.endswith("Words.\n")
    assert measured({"a": True, "b": {}}) == "a yes; b none"


def test_every_scenario_of_the_table_is_there_and_the_page_too() -> None:
    folder = Path(__file__).parents[2] / "bench" / "faults"
    for name in SCENARIOS:
        assert "def run(" in (folder / f"{name}.py").read_text(), name
    assert (Path(__file__).parents[2] / PAGE).exists()

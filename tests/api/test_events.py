"""Streams of events over real HTTP: what comes when, where a listener goes on, and how a stream ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis

from api import events as stream
from shared.ids import job_id
from shared.schema import PictureResult
from shared.store import EVENTS_CHANNEL, PREFIX
from spotter.address import free_port
from spotter.stack import answers
from tests.api.conftest import Serve
from tests.api.test_connections import rest
from tests.roles import as_role
from tests.shared.store_samples import bad, good
from tests.waiting import until

ONE = {"image": {"url": "https://example.com/dog.jpg"}}


@dataclass(frozen=True)
class Event:
    """One event as WHATWG HTML 9.2.6 dispatches it."""

    name: str
    id: str
    data: Any


class Parser:
    """The stream's interpretation, from 9.2.6 of the standard: fields by line, dispatched at an empty one."""

    def __init__(self) -> None:
        self.last_id, self.retry, self.comments = "", 0, 0
        self._name, self._data = "", list[str]()

    def feed(self, line: str) -> Event | None:
        if line == "":
            found = (
                Event(self._name or "message", self.last_id, json.loads("\n".join(self._data))) if self._data else None
            )
            self._name, self._data = "", []
            return found
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "":
            self.comments += 1
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.last_id = value
        elif field == "retry" and value.isdecimal():
            self.retry = int(value)
        return None


class Listener:
    """One connection of an EventSource."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self.parser = answer, Parser()
        self._lines = answer.iter_lines()

    def __iter__(self) -> Iterator[Event]:
        for line in self._lines:
            if event := self.parser.feed(line):
                yield event

    def next(self, count: int) -> list[Event]:
        found = []
        for event in self:
            found.append(event)
            if len(found) == count:
                break
        return found


@contextmanager
def listening(client: httpx.Client, job: str, last_id: str | None = None) -> Iterator[Listener]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with client.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Listener(answer)


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def send(client: httpx.Client, total: int = 1) -> str:
    pictures = [{"url": f"https://example.com/{k}.jpg", "id": f"mine-{k}"} for k in range(total)]
    job: str = client.post("/jobs", json=ONE if total == 1 else {"images": pictures}).json()["id"]
    return job


def test_a_job_from_its_start_to_its_end(api: httpx.Client, worker: Any) -> None:
    job = send(api)
    made = api.get(f"/jobs/{job}").json()
    with listening(api, made["links"]["events"].split("/")[2]) as heard:
        headers = heard.answer.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
        (queued,) = heard.next(1)
        assert (queued.name, queued.data["at"]) == ("queued", made["queued_at"])
        assert heard.parser.retry > 0
        (held,) = worker.take()
        (running,) = heard.next(1)
        assert running.name == "running"
        worker.finish(held, bad())
        picture, failed = list(heard)  # to the end of the stream
    told = api.get(f"/jobs/{job}").json()
    assert (picture.name, failed.name) == ("picture", "failed")
    assert picture.data == told["results"][0]
    assert (failed.data["status"], failed.data["at"]) == ("failed", told["finished_at"])
    assert failed.data["counts"] == told["counts"]
    over = api.get(f"/jobs/{job}/events", headers={"Last-Event-ID": failed.id})
    assert (over.status_code, over.content) == (204, b"")


def test_what_happened_while_a_listener_was_away_comes_once_and_from_any_process(serve: Serve, worker: Any) -> None:
    first, second = serve(), serve()
    job = send(first, 700)
    before: list[Event] = []
    with listening(first, job) as heard:
        before += heard.next(1)
        held = [one for _ in range(8) for one in worker.take(16)]
        for one in held[:3]:
            worker.finish(one)
        before += heard.next(4)
    assert names(before) == ["queued", "running", "picture", "picture", "picture"]
    for one in held[3:]:
        worker.finish(one)
    finished = worker.finish_all() + len(held)
    assert finished == 700
    with listening(second, job, before[-1].id) as heard:
        after = list(heard)
    assert names(after) == ["picture"] * 697 + ["succeeded"]
    assert len({event.id for event in before + after}) == 703
    assert {event.data["index"] for event in before + after if event.name == "picture"} == set(range(700))
    lines = [json.loads(line) for line in second.get(f"/jobs/{job}/results").text.splitlines()]
    pictures = [event.data for event in before + after if event.name == "picture"]
    assert sorted(pictures, key=lambda one: one["index"]) == lines


@pytest.mark.parametrize("nonsense", ["", "7", "0-0-z", "-1-0-q", "0-5-r", "9-0-q", "x" * 5000, "۰-۰-q"])
def test_an_id_that_is_none_of_the_jobs_is_the_start(api: httpx.Client, worker: Any, nonsense: str) -> None:
    job = send(api, 2)
    worker.finish_all()
    answer = api.get(f"/jobs/{job}/events", headers=[(b"Last-Event-ID", nonsense.encode())])
    assert answer.status_code == 200
    found = [line.partition(": ")[2] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert found == ["queued", "running", "picture", "picture", "succeeded"]


def test_cancel_ends_the_stream(api: httpx.Client, serve: Serve) -> None:
    job = send(api, 3)
    with listening(serve(), job) as heard:
        heard.next(1)
        assert api.post(f"/jobs/{job}/cancel").status_code == 200
        (canceled,) = list(heard)
    assert (canceled.name, canceled.data["counts"]["canceled"]) == ("canceled", 3)


def test_no_job_and_no_other_way_to_ask(api: httpx.Client) -> None:
    answer = api.get(f"/jobs/{job_id()}/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.head(f"/jobs/{send(api)}/events").status_code == 405
    assert api.post(f"/jobs/{send(api)}/events").status_code == 405


def test_a_quiet_stream_has_heartbeats_and_outlives_every_deadline(
    serve: Serve, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.2)
    quick = serve(header_timeout_s=0.4, body_timeout_s=0.4, answer_timeout_s=0.4)
    job = send(quick)
    with listening(quick, job) as heard:
        heard.next(1)
        later = threading.Timer(1.5, worker.finish_all)
        later.start()
        assert names(list(heard)) == ["running", "picture", "succeeded"]
        later.join()
        assert heard.parser.comments >= 4


def test_whoever_does_not_read_is_cut_and_comes_back_without_a_loss(serve: Serve, worker: Any) -> None:
    impatient = serve(answer_timeout_s=0.6)
    job = send(impatient, 1500)
    detail = "x" * 20_000

    def large(index: int) -> PictureResult:
        failed = bad(index)
        assert failed.error is not None
        return failed.model_copy(update={"error": failed.error.model_copy(update={"detail": detail})})

    while claims := worker.take(16):
        for held in claims:
            worker.finish(held, large(held.index))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(20)
        deaf.connect(("127.0.0.1", impatient.base_url.port or 0))
        deaf.sendall(b"GET /jobs/%s/events HTTP/1.1\r\nHost: x\r\n\r\n" % job.encode())
        time.sleep(2.5)  # nothing else tells that the other side has given up
        data = rest(deaf)
    assert not data.endswith(b"0\r\n\r\n"), "the answer came to its end"
    last = [line for line in data.decode(errors="replace").splitlines() if line.startswith("id: ")][-2][4:]
    with listening(impatient, job, last) as heard:
        later = list(heard)
    assert len(later) == 1500 - int(last.split("-")[1]) + 1


def test_the_store_is_asked_when_something_changed_and_never_otherwise(
    serve: Serve, worker: Any, client: redis.Redis
) -> None:
    quiet = serve()
    jobs = [send(quiet) for _ in range(2)]

    def calls() -> int:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

    with httpx.Client(base_url=quiet.base_url, timeout=20) as other:
        heard: list[str] = []
        threads = [threading.Thread(target=lambda job=job: heard.append(other.get(f"/jobs/{job}/events").text))
                   for job in jobs * 10]  # fmt: skip
        waiting = [threading.Thread(target=lambda: heard.append(other.get(f"/jobs/{jobs[0]}?wait=20").text))
                   for _ in range(10)]  # fmt: skip
        for thread in threads + waiting:
            thread.start()
        until(lambda: client.pubsub_numsub(EVENTS_CHANNEL)[0][1] == 1)
        time.sleep(1.0)
        before = calls()
        time.sleep(1.0)
        assert calls() == before, "nothing changed, and somebody looked"
        worker.finish_all()
        for thread in threads + waiting:
            thread.join(10)
        spent = calls() - before - 5  # 3 claims and 2 commits are the worker's
    assert len(heard) == 30
    assert spent <= 12, "listeners of one job share their looks"


def test_a_burst_of_changes_is_told_in_few_pieces(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    job = send(api, 300)
    with listening(api, job) as heard:
        heard.next(1)
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        started = time.monotonic()
        claims = 0
        while held := worker.take(16):
            claims += 1
            for one in held:
                worker.finish(one)
        events = list(heard)
        took = time.monotonic() - started
        looks = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before - 300 - claims - 1
    assert names(events) == ["running", *["picture"] * 300, "succeeded"]
    assert looks <= took / api_pace() + 5


def api_pace() -> float:
    """Seconds between two notices of one job, from docs/api.md: 20 a second."""
    return 1 / 20


def test_listeners_have_a_bound_of_their_own(serve: Serve) -> None:
    few = serve(owner_listeners=1)
    job = send(few)
    with httpx.Client(base_url=few.base_url) as other, listening(other, job) as heard:
        heard.next(1)
        for path in (f"/jobs/{job}/events", f"/jobs/{job}?wait=5"):
            refused = few.get(path)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_listeners")
            assert int(refused.headers["retry-after"]) > 0
        assert few.get(f"/jobs/{job}").status_code == 200
    until(lambda: few.get(f"/jobs/{job}?wait=1").status_code == 200)
    poll = b"GET /jobs/%s?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n" % job.encode()
    with socket.create_connection(("127.0.0.1", few.base_url.port or 0)) as leaving:
        leaving.settimeout(0.3)
        leaving.sendall(poll)
        with pytest.raises(TimeoutError):  # no refusal comes: it waits
            leaving.recv(1)
        assert few.get(f"/jobs/{job}?wait=1").status_code == 429
    until(lambda: few.get(f"/jobs/{job}?wait=1").status_code == 200)  # long before its 30 s
    none = serve(max_listeners=1)
    with httpx.Client(base_url=none.base_url) as other, listening(other, job) as heard:
        heard.next(1)
        refused = none.get(f"/jobs/{job}/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "service_busy")


def test_a_store_that_is_away_for_a_while_costs_no_event(
    api: httpx.Client, worker: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection of the process is cut, and its changes meanwhile are not heard."""
    job = send(api, 2)
    with listening(api, job) as heard:
        heard.next(1)
        client.execute_command("CLIENT", "KILL", "USER", "api")
        for one in [*worker.take(1), *worker.take(1)]:
            worker.finish(one, good(one.index))
        assert names(list(heard)) == ["running", "picture", "picture", "succeeded"]


@contextmanager
def process(redis_url: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """An API process of its own."""
    port = free_port()
    env = (
        os.environ
        | {"SPOTTER_REDIS_URL": as_role(redis_url, "api"), "SPOTTER_AUTH": "off"}
        | {"SPOTTER_DEFAULT_MODEL": "m"}
    )
    with (
        subprocess.Popen([sys.executable, "-m", "api.main", "--port", str(port)], env=env) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        until(lambda: answers(str(client.base_url).rstrip("/"), "/healthz"), 30)
        try:
            yield running, client
        finally:
            running.kill()


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_costs_its_listeners_nothing(
    serve: Serve, worker: Any, redis_url: str, ends: signal.Signals
) -> None:
    """SIGTERM ends streams and long-polls in order, long before the end of the drain; SIGKILL breaks them off."""
    with process(redis_url) as (ending, client), ThreadPoolExecutor(1) as pool:
        job = send(client, 2)
        polled = pool.submit(lambda: client.get(f"/jobs/{job}?wait=15"))
        with listening(client, job) as heard:
            (queued,) = heard.next(1)
            (held,) = worker.take(1)
            worker.finish(held)
            seen = [queued, *heard.next(2)]
            if ends == signal.SIGTERM:
                polled.result()
                polled = pool.submit(lambda: client.get(f"/jobs/{job}?wait=15"))
                time.sleep(0.3)  # nothing outside tells that the poll waits; were it later, it would be refused
            ending.send_signal(ends)
            if ends == signal.SIGTERM:
                assert list(heard) == []
                assert ending.wait(4) == -signal.SIGTERM or ending.returncode == 0
                answer = polled.result()
                assert (answer.status_code, answer.json()["status"]) == (200, "running")
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    list(heard)
    worker.finish_all()
    with listening(serve(), job, seen[-1].id) as heard:
        rest = list(heard)
    assert names(seen + rest) == ["queued", "running", "picture", "picture", "succeeded"]
    assert {event.data["index"] for event in seen + rest if event.name == "picture"} == {0, 1}


def test_a_job_that_is_taken_away_ends_its_streams(api: httpx.Client, client: redis.Redis) -> None:
    job = send(api)
    with listening(api, job) as heard:
        heard.next(1)
        client.delete(f"{PREFIX}job:{job}")
        client.publish(EVENTS_CHANNEL, f"{job} deleted 9")
        assert list(heard) == []
    assert api.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "0-0-q"}).status_code == 404

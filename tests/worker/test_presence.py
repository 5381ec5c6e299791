"""A worker says that it lives and what it serves; descriptions go along only while they are news."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.connection import connect
from shared.observe import Stages
from shared.reports import WorkerReport
from shared.steps import announce, forget
from shared.store import PREFIX, Call, JobStore, T
from shared.views import descriptions, workers
from spotter.address import free_port
from tests.waiting import until
from tests.worker.fake_models import FakeLoad, put
from worker.leases import Leases
from worker.models import Models
from worker.presence import Presence, bury


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    put(tmp_path, "m", "1")
    models = Models(tmp_path, FakeLoad(), required=("m",), discover=False, grace_s=0)
    models.load_all()
    yield models
    models.close(5)


class Counting(JobStore):
    """Knows the size of every announcement."""

    sizes: list[int]

    def run(self, call: Call[T]) -> T:
        if call.script == "announce":
            self.sizes.append(sum(len(str(arg)) for arg in call.args))
        return super().run(call)


def test_a_worker_announces_itself_and_withdraws(store: JobStore, models: Models) -> None:
    presence = Presence("w1", store, models, Leases(store, 30), Stages(), 8)
    presence.start()
    until(lambda: [report.worker for report in store.run(workers())] == ["w1"])
    assert store.run(workers())[0].models == models.offer().models
    presence.stop()
    assert store.run(workers()) == []


def test_a_store_that_is_away_at_the_start_is_waited_for(redis_url: str, models: Models) -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", "test") as nobody, connect(redis_url, "test") as client:
        store = JobStore(nobody)
        presence = Presence("w1", store, models, Leases(store, 30), Stages(), 8)
        presence.start()
        store._scripts = JobStore(client)._scripts  # as if the server had come up
        until(lambda: bool(JobStore(client).run(workers())))
        presence.stop()


def test_a_change_is_announced_at_once_and_a_description_once(redis_url: str, models: Models, tmp_path: Path) -> None:
    with connect(redis_url, "test") as client:
        store = Counting(client)
        store.sizes = []
        presence = Presence("w1", store, models, Leases(store, 30), Stages(), 8)
        presence.start()
        until(lambda: len(store.sizes) == 1)
        put(tmp_path, "m", "2", "b" * 64)
        models.refresh({})
        presence.soon()
        until(lambda: len(store.sizes) == 2)
        presence.soon()
        until(lambda: len(store.sizes) == 3)
        assert store.sizes[2] < store.sizes[1], "a description is sent again and again"
        described = store.run(descriptions(["m@1", "m@2"]))
        assert set(described) == {"m@1", "m@2"}
        store.run(forget(["m@2"]))  # or a store that lost its memory
        presence.soon()
        until(lambda: bool(store.run(descriptions(["m@2"]))))
        presence.stop()


def announced(store: JobStore, name: str, pid: int, host: str) -> None:
    store.run(announce(WorkerReport(worker=name, host=host, pid=pid, started_ms=0, progress_ms=0, busy=0, models=())))


def test_a_dead_predecessor_is_withdrawn_and_makes_workers_wary(store: JobStore, client: redis.Redis) -> None:
    here = socket.gethostname()
    dead = subprocess.Popen(["true"])
    dead.wait()
    announced(store, "alive", os.getppid(), here)
    announced(store, "elsewhere", dead.pid, "another host")
    bury(store)
    assert not client.exists(PREFIX + "wary")
    announced(store, "dead", dead.pid, here)
    announced(store, "my pid, before", os.getpid(), here)  # a container's worker has the same pid each time
    bury(store)
    assert {report.worker for report in store.run(workers())} == {"alive", "elsewhere"}
    assert client.exists(PREFIX + "wary")


def test_a_store_that_is_away_stops_no_worker_from_starting() -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", "test") as nobody:
        bury(JobStore(nobody))

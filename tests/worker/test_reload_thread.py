"""One look of the reload thread: what it tells the store, the queues and the presence, and in what order."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from shared.assignments import NOTHING_ASSIGNED, assign, drop
from shared.connection import connect
from shared.errors import StoreUnavailable
from shared.observe import Stages
from shared.reports import WorkerReport
from shared.steps import announce, cancel
from shared.store import Call, JobStore, T
from shared.views import descriptions, fleet
from spotter.address import free_port
from tests.roles import as_role
from tests.shared.store_samples import accepting, spec
from tests.waiting import until
from tests.worker.fake_models import FakeLoad, put
from worker.leases import Leases
from worker.models import Models
from worker.presence import Presence
from worker.reload import Reload, assigned


class Queues:
    """Keeps what was wanted last."""

    wanted: frozenset[str] = frozenset()

    def want(self, references: Iterable[str]) -> None:
        self.wanted = frozenset(references)


class Told(Presence):
    """Counts the calls."""

    calls = 0

    def soon(self) -> None:
        self.calls += 1


class Bench:
    """A reload whose looks the test takes."""

    def __init__(self, folder: Path, store: JobStore) -> None:
        self.folder, self.store, self.queues = folder, store, Queues()
        self.models = Models(folder, FakeLoad(), required=("m",), discover=True, grace_s=0)
        self.models.load_all()
        self.presence = Told("w1", store, self.models, Leases(store, 30), Stages(), 8)
        self.reload = Reload(self.models, store, self.queues, self.presence, every_s=0.01, close_s=5)  # type: ignore[arg-type]

    def announce(self) -> None:
        offer = self.models.offer()
        report = WorkerReport(
            worker="w1", host="h", pid=1, started_ms=0, progress_ms=0, busy=0, models=offer.models
        )  # fmt: skip
        self.store.run(announce(report, offer.descriptions))
        self.models.announced(offer.revision)


@pytest.fixture
def bench(tmp_path: Path, store: JobStore) -> Iterator[Bench]:
    put(tmp_path, "m", "1")
    bench = Bench(tmp_path, store)
    yield bench
    bench.models.close(5)


def test_a_change_is_consumed_and_announced_once(bench: Bench) -> None:
    bench.reload.once()
    assert bench.queues.wanted == {"m", "m@1"}
    assert bench.presence.calls == 0
    put(bench.folder, "m", "2")
    bench.reload.once()
    assert bench.queues.wanted == {"m", "m@1", "m@2"}
    assert bench.presence.calls == 1
    bench.reload.once()
    assert bench.presence.calls == 1


def test_a_version_goes_when_its_last_job_has_ended(bench: Bench) -> None:
    job = spec(model="m@1")
    bench.store.run(accepting(job))
    put(bench.folder, "m", "2")
    shutil.rmtree(bench.folder / "m" / "1")
    bench.reload.once()
    bench.announce()
    bench.reload.once()
    assert "m@1" in bench.queues.wanted
    bench.store.run(cancel(job.id))
    bench.reload.once()
    assert bench.queues.wanted == {"m", "m@2"}
    bench.announce()
    described = bench.store.run(descriptions(["m@1", "m@2"]))
    assert set(described) == {"m@2"}


def test_a_version_that_pictures_wait_for_comes_back(bench: Bench) -> None:
    put(bench.folder, "m", "2")
    bench.reload.once()
    bench.announce()
    bench.reload.once()
    assert bench.queues.wanted == {"m", "m@2"}
    bench.store.run(accepting(spec(model="m@1")))
    bench.reload.once()
    assert bench.queues.wanted == {"m", "m@1", "m@2"}


def test_a_model_that_is_gone_is_forgotten(bench: Bench) -> None:
    put(bench.folder, "other", "1")
    bench.reload.once()
    bench.announce()
    shutil.rmtree(bench.folder / "other")
    bench.reload.once()
    bench.announce()
    bench.reload.once()
    bench.reload.once()
    assert set(bench.store.run(fleet()).heard) == {"m"}
    assert bench.queues.wanted == {"m", "m@1"}


def test_an_alias_set_over_http_is_followed_and_announced(bench: Bench, redis_url: str) -> None:
    put(bench.folder, "m", "2")
    bench.reload.once()
    assert bench.presence.calls == 1
    with connect(as_role(redis_url, "api"), "test") as client:
        edition = JobStore(client).run(assign("m", "stable", "1", "shop"))
        bench.reload.once()
        assert (bench.models.offer().followed, bench.presence.calls) == (edition, 2)
        assert bench.queues.wanted == {"m", "m@1", "m@2"}
        dropped = JobStore(client).run(drop("m", "stable"))
        bench.reload.once()
        assert (bench.models.offer().followed, bench.presence.calls) == (dropped, 3)


def test_a_worker_that_starts_knows_what_is_set_or_goes_by_its_repository(redis_url: str, store: JobStore) -> None:
    with connect(as_role(redis_url, "api"), "test") as client:
        JobStore(client).run(assign("m", "stable", "1", "shop"))
    assert assigned(store).versions("m") == {"stable": "1"}
    with connect(f"redis://127.0.0.1:{free_port()}/0", "test") as nobody:
        assert assigned(JobStore(nobody)) == NOTHING_ASSIGNED


def test_a_store_that_is_away_puts_everything_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real, away = bench.store.run, [True]

    def run(call: Call[T]) -> T:
        if away:
            raise StoreUnavailable
        return real(call)

    monkeypatch.setattr(bench.store, "run", run)
    put(bench.folder, "m", "2")
    bench.reload.start()
    away.clear()
    until(lambda: "m@2" in bench.queues.wanted)
    bench.reload.stop()
    assert not bench.reload._thread.is_alive()

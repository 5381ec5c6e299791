"""The store as a whole: full, unable to write, gone, and swept by one process at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.connection import connect
from shared.errors import StoreFull, StoreUnavailable
from shared.lifecycle import keep_drawn
from shared.reports import WorkerReport
from shared.schema import UploadSource
from shared.steps import accept, announce, beat, cancel, claim, crashed, finish, hand_back, lock_sweep, sweep
from shared.store import PREFIX, Call, JobStore
from shared.views import backlog, blob, fleet, page, stats, view
from tests.own_server import become_replica, fail_snapshots, served
from tests.shared.store_samples import BY, LEASE_S, accepting, good, lose_leases, seen, spec, swept, take


def test_the_sweep_lock_has_one_holder(store: JobStore) -> None:
    assert store.run(lock_sweep("a", 30))
    assert not store.run(lock_sweep("b", 30))


@pytest.fixture
def full(client: redis.Redis) -> Iterator[Callable[[], None]]:
    """Fills the server's memory, as far as commands that need some can tell."""

    def fill() -> None:
        client.config_set("maxmemory", 1)

    yield fill
    client.config_set("maxmemory", 0)


def test_a_store_out_of_memory_refuses_and_keeps_what_it_has(store: JobStore, full: Callable[[], None]) -> None:
    kept = spec()
    store.run(accepting(kept))
    full()
    refused = spec()
    with pytest.raises(StoreFull):
        store.run(accepting(refused, blobs={"upl_x": b"bytes"}))
    assert seen(store, kept.id).view.status == "queued"
    assert store.run(view([refused.id], inline_results=1)) == [None]
    assert store.run(blob("upl_x")) is None
    assert store.run(backlog())["m"].pictures == 1


def test_what_was_accepted_goes_its_way_while_memory_is_full(
    store: JobStore, client: redis.Redis, full: Callable[[], None]
) -> None:
    bulk, others = spec(2, priority="high"), [spec() for _ in range(5)]
    for job in (bulk, *others):
        store.run(accepting(job))
    full()
    (first,), (second,) = take(store), take(store)
    assert store.run(beat([first], LEASE_S)) == set()
    assert store.run(finish(first, good(0), BY)) == "running"
    assert store.run(keep_drawn(second, b"jpeg"))
    assert store.run(finish(second, good(1), BY)) == "succeeded"
    assert store.run(hand_back(take(store))) == 1
    take(store)
    client.config_set("maxmemory", 0)
    lose_leases(client)
    full()
    assert swept(store).requeued == 1
    assert store.run(crashed(take(store)[0], "a reason.", 1)) == "failed"
    canceled = take(store)[0].job.id
    assert store.run(cancel(canceled)) == "ended"
    while claims := take(store):
        assert store.run(finish(claims[0], good(), BY)) == "succeeded"
    ends = [seen(store, job.id).view.status for job in (bulk, *others)]
    assert sorted(ends) == ["canceled", "failed", *["succeeded"] * 4]


@pytest.mark.parametrize("fault", [fail_snapshots, become_replica])
def test_a_store_that_cannot_write_changes_nothing_and_still_shows_everything(
    tmp_path: Path, fault: Callable[[redis.Redis, Path], None]
) -> None:
    folder = tmp_path / "store"
    with served(folder) as url, connect(url, "test") as client:
        store = JobStore(client)
        waiting, held = spec(2), spec(priority="high")
        source = UploadSource(upload="upl_" + "0" * 20)
        store.run(accept(held, [source], queue_limit=9, blobs={source.upload: b"bytes"}))
        (mine,) = take(store)
        store.run(accepting(waiting))
        before = {key: client.dump(key) for key in client.scan_iter()}
        fault(client, folder)
        steps: tuple[Call[Any], ...] = (
            accepting(spec()), claim("m", 1, 30), finish(mine, good(), BY), crashed(mine, "a reason.", 3),
            hand_back([mine]), beat([mine], 30), cancel(waiting.id), keep_drawn(mine, b"x"),
            sweep(most=9, max_attempts=3), lock_sweep("a", 9),
            announce(WorkerReport(worker="w", host="h", pid=1, started_ms=0, progress_ms=0, busy=0, models=())),
        )  # fmt: skip
        for step in steps:
            with pytest.raises(StoreUnavailable) as refused:
                store.run(step)
            assert refused.value.retry_after_s is not None
        assert {key: client.dump(key) for key in client.scan_iter()} == before
        assert seen(store, held.id).view.status == "running"
        assert seen(store, waiting.id).view.counts.queued == 2
        assert store.run(blob(source.upload)) == b"bytes"
        assert store.run(backlog())["m"].pictures == 2
        assert len(store.run(page(before=None, count=9))) == 2
        assert store.run(fleet()).live == ()
        assert store.run(stats())["accepted:m"] == 2


def test_a_step_that_the_store_refuses_reads_as_an_outage(store: JobStore, client: redis.Redis) -> None:
    client.set(PREFIX + "tokens", "not a hash")
    with pytest.raises(StoreUnavailable, match="refused"):
        store.run(accepting(spec()))
    client.acl_setuser("limited", enabled=True, passwords=["+p"], commands=["+@connection", "+evalsha", "+eval"])
    try:
        host, port = client.connection_pool.connection_kwargs["host"], client.connection_pool.connection_kwargs["port"]
        with connect(f"redis://limited:p@{host}:{port}/0", "test") as limited, pytest.raises(StoreUnavailable):
            JobStore(limited).run(backlog())
    finally:
        client.acl_deluser("limited")
        client.acl_log_reset()  # what was refused here is the test's own doing


def test_a_store_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with connect(f"redis://127.0.0.1:{port}/0", "test") as nobody, pytest.raises(StoreUnavailable) as refused:
            JobStore(nobody).run(backlog())
    assert refused.value.retry_after_s is not None

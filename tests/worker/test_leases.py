"""Leases are kept alive while they are held; what was lost is known; and a worker says that it lives."""

from __future__ import annotations

import time

import redis

from shared.connection import connect
from shared.observe import Stages
from shared.schema import ServedModel, UploadSource
from shared.steps import accept, cancel, claim
from shared.store import PREFIX, JobStore
from shared.views import workers
from spotter.address import free_port
from tests.shared.store_samples import spec
from tests.waiting import until
from worker.leases import Leases
from worker.presence import Presence

SERVED = ServedModel(
    name="m", version="1", sha256="0" * 64, labels=(), frame=(1, 1), provider="cpu", precision="fp32", max_batch=1
)


def test_heartbeats_keep_a_slow_picture_and_drop_a_canceled_one(store: JobStore, client: redis.Redis) -> None:
    leases = Leases(store, 0.6)
    leases.start()
    kept, dropped = spec(), spec()
    for job in (kept, dropped):
        store.run(accept(job, [UploadSource(upload="upl_" + "0" * 20)], queue_limit=10))
    claims = [store.run(claim("m", 1, 0.6))[0] for _ in range(2)]
    (mine,) = (one for one in claims if one.job.id == kept.id)
    (other,) = (one for one in claims if one.job.id == dropped.id)
    with leases.holding(claims):
        store.run(cancel(dropped.id))
        deadline = time.monotonic() + 5
        while not leases.lost(other):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first = client.zscore(PREFIX + "leases", f"{kept.id}/0")
        while client.zscore(PREFIX + "leases", f"{kept.id}/0") == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not leases.lost(mine)
    leases.stop()


def test_a_worker_announces_itself_and_withdraws(store: JobStore) -> None:
    presence = Presence("w1", store, [SERVED], Leases(store, 30), Stages())
    presence.start()
    until(lambda: [report.worker for report in store.run(workers())] == ["w1"])
    assert store.run(workers())[0].models == (SERVED,)
    presence.stop()
    assert store.run(workers()) == []


def test_a_store_that_is_away_at_the_start_is_waited_for(redis_url: str) -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", "test") as nobody, connect(redis_url, "test") as client:
        store = JobStore(nobody)
        presence = Presence("w1", store, [SERVED], Leases(store, 30), Stages())
        presence.start()
        store._scripts = JobStore(client)._scripts  # as if the server had come up
        until(lambda: bool(JobStore(client).run(workers())))
        presence.stop()

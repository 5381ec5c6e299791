"""Leases are kept alive while they are held, and what was lost is known."""

from __future__ import annotations

import time

import redis

from shared.schema import UploadSource
from shared.steps import accept, cancel, claim
from shared.store import PREFIX, JobStore
from tests.shared.store_samples import spec
from worker.leases import Leases


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

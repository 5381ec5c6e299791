"""Every step of a job on a real server: what it changes, and what it refuses."""

from __future__ import annotations

import time

import pytest
import redis

from shared.errors import Poison, QueueFull
from shared.schema import PictureFailure, UploadSource, UrlSource
from shared.steps import (
    MOST_TOKENS,
    accept,
    beat,
    beware,
    cancel,
    claim,
    crashed,
    finish,
    give_way,
    hand_back,
    linger,
    top_up,
)
from shared.store import PREFIX, JobStore
from shared.views import backlog, blob, view
from tests.shared.store_samples import BY, LEASE_S, accepting, bad, good, lose_leases, seen, spec, swept, take, text


def test_a_job_goes_from_queued_over_running_to_succeeded(store: JobStore) -> None:
    job = spec(metadata={"camera": "7"})
    store.run(accepting(job))
    assert seen(store, job.id).view.status == "queued"
    assert seen(store, job.id).view.queue_position == 1

    (held,) = take(store)
    assert held.source == UrlSource(url="https://example.com/0.jpg", id="mine-0")
    assert (held.index, held.fence, held.job) == (0, 1, job)
    running = seen(store, job.id).view
    assert (running.status, running.counts.running, running.queue_position) == ("running", 1, None)

    assert store.run(finish(held, good(), BY)) == "succeeded"
    final = seen(store, job.id)
    assert final.final
    assert final.view.counts.succeeded == 1
    assert final.view.model == BY
    assert final.view.metadata == {"camera": "7"}
    assert final.view.results is not None
    assert final.view.results[0] == good()
    assert final.view.expires_at is not None
    assert store.run(backlog()) == {}


def test_accepting_the_same_id_again_changes_nothing(store: JobStore) -> None:
    job = spec(3)
    assert store.run(accepting(job)).tokens == 3
    assert store.run(accepting(job)).tokens == 0
    assert store.run(backlog())["m"].pictures == 3


def test_the_queue_bound_refuses_the_whole_job_and_its_bytes(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec(2), queue_limit=3))
    with pytest.raises(QueueFull) as refused:
        store.run(accepting(spec(2), queue_limit=3, blobs={"upl_x": b"bytes"}))
    assert refused.value.retry_after_s == 10
    assert store.run(blob("upl_x")) is None
    assert store.run(backlog())["m"].pictures == 2
    store.run(accepting(spec(1), queue_limit=3))


def test_bytes_go_in_with_the_job_and_outlive_it_by_a_minute(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec(deadline_s=100, retain_s=50), blobs={"upl_x": b"\x00\xff"}))
    assert store.run(blob("upl_x")) == b"\x00\xff"
    assert client.ttl(PREFIX + "blob:upl_x") == 210


def test_an_upload_leaves_soon_after_its_picture_succeeded_and_stays_for_another_try(
    store: JobStore, client: redis.Redis
) -> None:
    names = [f"upl_{k:020d}" for k in range(4)]
    job = spec(4, deadline_s=100, retain_s=50)
    blobs = dict.fromkeys(names, b"bytes")
    store.run(accept(job, [UploadSource(upload=name) for name in names], queue_limit=100, blobs=blobs))
    first, second, third, _ = (take(store, 1)[0] for _ in range(4))
    store.run(finish(first, good(0), BY, 30))
    store.run(finish(second, bad(1), BY, 30))
    store.run(finish(third, good(2), BY, 9999))
    store.run(cancel(job.id))
    assert [client.ttl(PREFIX + "blob:" + name) for name in names] == [30, 210, 210, 210]


@pytest.mark.parametrize(
    ("size", "keep_s", "lives_s"),
    [(262_144, 30, 30), (262_145, 30, 29), (1 << 20, 30, 7), (1 << 20, 3600, 900), (8 << 20, 30, 1)],
)
def test_a_large_upload_leaves_sooner_in_proportion(
    store: JobStore, client: redis.Redis, size: int, keep_s: int, lives_s: int
) -> None:
    """Each finished picture takes 256 KiB times the seconds, or a second of what it has."""
    name = f"upl_{0:020d}"
    store.run(accept(spec(), [UploadSource(upload=name)], queue_limit=100, blobs={name: bytes(size)}))
    (held,) = take(store, 1)
    store.run(finish(held, good(0), BY, keep_s))
    assert client.ttl(PREFIX + "blob:" + name) == lives_s


def test_a_job_is_failed_only_when_every_picture_failed(store: JobStore) -> None:
    mixed, hopeless = spec(2), spec(2)
    for job, outcomes in ((mixed, (bad, good)), (hopeless, (bad, bad))):
        store.run(accepting(job))
        for outcome in outcomes:
            (held,) = take(store, 1)
            store.run(finish(held, outcome(held.index), BY))
    assert seen(store, mixed.id).view.status == "succeeded"
    assert seen(store, mixed.id).view.counts.failed == 1
    assert seen(store, hopeless.id).view.status == "failed"


@pytest.mark.parametrize("total", [1, 7, 8, 9, 100, 1000])
def test_claims_take_a_job_in_order_and_share_its_tail(store: JobStore, total: int) -> None:
    store.run(accepting(spec(total)))
    indexes: list[int] = []
    while got := take(store, 16):
        left = total - len(indexes)
        assert len(got) == max(1, min(16, -(-left // 8)))
        indexes += [held.index for held in got]
    assert indexes == list(range(total))


def test_a_claim_brings_the_bytes_of_kept_uploads_along_up_to_a_bound(store: JobStore, client: redis.Redis) -> None:
    names = [f"upl_{k:020d}" for k in range(16)]
    large, small = bytes(3 << 20), b"\x00\xff small"
    blobs = {name: small if k in (1, 3) else large for k, name in enumerate(names) if k != 15}
    job = spec(16)
    store.run(accept(job, [UploadSource(upload=name) for name in names], queue_limit=100, blobs=blobs))
    client.delete(PREFIX + "blob:" + names[3])
    first = store.run(claim("m", 16, LEASE_S))
    second = store.run(claim("m", 16, LEASE_S))
    # 4 MiB a claim: the first picture, then what still fits; the others are fetched one by one
    assert [held.data for held in first] == [large, small]
    assert [held.data for held in second] == [large, None]


def test_a_token_is_published_only_for_work_that_none_on_its_way_will_find(store: JobStore) -> None:
    assert store.run(accepting(spec())).tokens == 1
    assert store.run(accepting(spec())).tokens == 1
    take(store)  # by the first token, which works on
    assert store.run(accepting(spec())).tokens == 1  # two wait, one token is on its way
    store.run(claim("m", 1, LEASE_S, first=False))  # the same token's second claim
    assert store.run(accepting(spec())).tokens == 0  # two wait, two are on their way
    assert store.run(accepting(spec(1000))).tokens == MOST_TOKENS - 2
    assert store.run(top_up("m", MOST_TOKENS)) == 0
    assert store.run(top_up("m", 10)) == MOST_TOKENS - 10  # the others were lost
    store.run(give_way("m", always=True))
    assert store.run(top_up("m", MOST_TOKENS + 1)) == 0


def test_a_thread_gives_way_to_others_alone(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec(2)))
    assert not store.run(give_way("m"))
    assert client.hget(PREFIX + "tokens", "m") == b"2"
    store.run(accepting(spec(model="other")))
    assert store.run(give_way("m"))
    assert client.hget(PREFIX + "tokens", "m") == b"3"  # its own token is on its way again
    store.run(claim("other", 1, LEASE_S))
    assert not store.run(give_way("m"))
    client.zadd(PREFIX + "hooks", {"job_1.job.failed": time.time() * 1000 + 60_000})
    assert not store.run(give_way("m"))
    client.zadd(PREFIX + "hooks", {"job_1.job.failed": time.time() * 1000 - 1})
    assert store.run(give_way("m"))


def test_a_thread_that_waits_is_woken_instead_of_a_token(store: JobStore, client: redis.Redis) -> None:
    assert store.run(linger("m", 5.0))
    assert store.run(linger("m", 5.0))
    assert store.run(accepting(spec(3))).tokens == 1  # two of three are there already
    assert client.llen(PREFIX + "wake:m") == 2
    assert store.run(accepting(spec())).tokens == 1  # nobody waits any more
    assert store.run(top_up("m", 4)) == 0  # and all four are counted


def test_a_thread_that_waited_long_enough_is_woken_no_more(store: JobStore, client: redis.Redis) -> None:
    assert store.run(linger("m", 60.0))
    client.zincrby(PREFIX + "lingering:m", -61_000, text(client.zrange(PREFIX + "lingering:m", 0, -1)[0]))
    assert store.run(accepting(spec())).tokens == 1
    assert not client.exists(PREFIX + "wake:m", PREFIX + "lingering:m")


def test_no_thread_waits_where_there_is_something_to_do(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec()))
    assert not store.run(linger("m", 5.0))
    assert not store.run(linger("idle", 5.0))  # a token of m wants a thread
    take(store)
    assert store.run(linger("idle", 5.0))
    client.zadd(PREFIX + "hooks", {"job_1.job.failed": time.time() * 1000 - 1})
    assert not store.run(linger("idle", 5.0))


def test_waking_leaves_nothing_behind(store: JobStore, client: redis.Redis) -> None:
    store.run(linger("m", 5.0))
    assert 0 < client.pttl(PREFIX + "lingering:m") <= 5_000
    store.run(accepting(spec()))
    assert 0 < client.pttl(PREFIX + "wake:m") <= 1_000  # its thread may have died


def test_priority_overtakes_and_age_overtakes_priority(store: JobStore, client: redis.Redis) -> None:
    low, normal, high, old = (spec(priority=p) for p in ("low", "normal", "high", "low"))
    for job in (low, normal, high, old):
        store.run(accepting(job))
    client.zincrby(PREFIX + "queue:m:default", -3_600_000, old.id)  # as if it had waited for an hour
    assert [take(store)[0].job.id for _ in range(4)] == [old.id, high.id, normal.id, low.id]


def test_queues_of_models_are_apart(store: JobStore) -> None:
    store.run(accepting(spec(model="other")))
    assert take(store) == []
    assert len(store.run(claim("other", 1, LEASE_S))) == 1


def test_a_lost_lease_returns_the_picture_and_its_old_fence_writes_nothing(
    store: JobStore, client: redis.Redis
) -> None:
    job = spec()
    store.run(accepting(job))
    (frozen,) = take(store)
    lose_leases(client)
    assert swept(store).requeued == 1
    assert store.run(finish(frozen, bad(), BY)) is None  # taken back, not yet claimed anew
    (second,) = take(store)
    assert second.fence == 2
    assert store.run(finish(frozen, bad(), BY)) is None  # claimed by another
    assert store.run(finish(second, good(), BY)) == "succeeded"
    assert store.run(finish(second, bad(), BY)) is None  # once only
    assert seen(store, job.id).view.counts.succeeded == 1
    assert seen(store, job.id).view.attempts == 2


def test_a_heartbeat_keeps_a_lease_and_names_what_is_lost(store: JobStore, client: redis.Redis) -> None:
    kept, ended, taken = spec(), spec(), spec()
    for job in (kept, ended, taken):
        store.run(accepting(job))
    held = [take(store)[0] for _ in range(3)]
    store.run(cancel(ended.id))
    lose_leases(client)
    client.zrem(PREFIX + "leases", f"{taken.id}/0")
    assert store.run(beat(held, LEASE_S)) == {(ended.id, 0), (taken.id, 0)}
    assert swept(store).requeued == 0
    (mine,) = (one for one in held if one.job.id == kept.id)
    assert store.run(finish(mine, good(), BY)) == "succeeded"


def test_a_picture_that_kills_its_workers_fails_as_poison(store: JobStore, client: redis.Redis) -> None:
    job = spec(2)
    store.run(accepting(job))
    (fine,) = take(store, 1)
    store.run(finish(fine, good(0), BY))
    for attempt in (1, 2, 3):
        (held,) = take(store)
        assert held.fence == attempt
        lose_leases(client)
        assert (swept(store).poisoned == 1) == (attempt == 3)
    final = seen(store, job.id).view
    assert final.status == "succeeded"
    assert final.results is not None
    poisoned = final.results[1]
    assert (poisoned.status, poisoned.id, poisoned.attempts) == ("failed", "mine-1", 3)
    assert poisoned.error is not None
    assert poisoned.error.code == "poison"
    assert poisoned.error.detail == "Given up after 3 attempts; the last: its worker stopped."
    assert client.zrange(PREFIX + "dead", 0, -1) == [f"{job.id}/1".encode()]


def test_a_picture_that_ends_its_decoder_waits_again_and_is_dead_at_last(store: JobStore, client: redis.Redis) -> None:
    job = spec(2)
    store.run(accepting(job))
    (first,) = take(store, 1)
    assert not first.wary
    assert store.run(crashed(first, "a reason.", 3)) == "again"
    assert store.run(crashed(first, "a reason.", 3)) is None, "its lease is gone"
    (again,) = take(store)
    assert (again.index, again.attempts, again.wary) == (0, 2, True)
    store.run(hand_back([again]))
    (again,) = take(store)
    assert (again.fence, again.attempts) == (3, 2)
    assert store.run(crashed(first, "a stale reason.", 3)) is None
    assert store.run(crashed(again, "a reason.", 2)) == "running"
    assert store.run(finish(again, good(0), BY)) is None
    (other,) = take(store)
    assert store.run(finish(other, good(1), BY)) == "succeeded"
    final = seen(store, job.id).view
    assert final.results is not None
    assert final.results[0].id == "mine-0"
    assert final.results[0].error == PictureFailure(
        code="poison", title=Poison.title, detail="Given up after 2 attempts; the last: a reason."
    )
    assert (final.counts.succeeded, final.counts.failed) == (1, 1)
    assert client.zrange(PREFIX + "dead", 0, -1) == [f"{job.id}/0".encode()]
    assert store.run(backlog()) == {}


def test_an_ended_job_takes_no_crash(store: JobStore, client: redis.Redis) -> None:
    job = spec()
    store.run(accepting(job))
    (held,) = take(store)
    store.run(cancel(job.id))
    assert store.run(crashed(held, "a reason.", 1)) is None
    assert seen(store, job.id).view.status == "canceled"
    assert client.zcard(PREFIX + "dead") == 0


def test_workers_are_wary_for_a_while_after_one_died(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec(3)))
    assert not take(store, 1)[0].wary
    store.run(beware())
    assert take(store, 1)[0].wary
    assert 50_000 < client.pttl(PREFIX + "wary") <= 60_000
    client.delete(PREFIX + "wary")
    assert not take(store, 1)[0].wary
    lose_leases(client)
    swept(store)
    assert take(store, 1)[0].wary


def test_handing_back_counts_no_attempt(store: JobStore, client: redis.Redis) -> None:
    store.run(accepting(spec()))
    for fence in range(1, 6):
        (held,) = take(store)
        assert held.fence == fence
        assert store.run(hand_back([held])) == 1
        assert store.run(hand_back([held])) == 0
    (held,) = take(store)
    assert (held.fence, held.attempts) == (6, 1)
    assert seen(store, held.job.id).view.attempts == 1
    lose_leases(client)
    assert swept(store, attempts=2).requeued == 1
    (again,) = take(store)
    assert again.attempts == seen(store, held.job.id).view.attempts == 2


def test_cancel_ends_what_waits_and_what_runs(store: JobStore, client: redis.Redis) -> None:
    waiting, running = spec(4), spec(9)
    store.run(accepting(running))
    first, second = take(store)
    store.run(finish(first, good(0), BY))
    store.run(accepting(waiting))
    assert store.run(cancel(waiting.id)) == "ended"
    assert store.run(cancel(running.id)) == "ended"
    assert store.run(cancel(running.id)) == "canceled"
    assert store.run(cancel("job_none")) == ""
    assert store.run(finish(second, good(1), BY)) is None
    counts = seen(store, running.id).view.counts
    assert (counts.succeeded, counts.canceled, counts.queued, counts.running) == (1, 8, 0, 0)
    assert take(store) == []
    lose_leases(client)
    assert swept(store).requeued == 0


def test_a_deadline_ends_a_job_by_sweep_or_by_claim(store: JobStore, client: redis.Redis) -> None:
    by_sweep, by_claim = spec(), spec()
    store.run(accepting(by_sweep))
    client.zadd(PREFIX + "deadlines", {by_sweep.id: 1})
    assert swept(store).expired == 1
    store.run(accepting(by_claim))
    client.hset(PREFIX + "job:" + by_claim.id, "deadline", 1)
    assert take(store) == []
    for job in (by_sweep, by_claim):
        assert seen(store, job.id).view.status == "expired"
        assert seen(store, job.id).view.counts.expired == 1
    assert store.run(backlog()) == {}


def test_what_is_past_its_retention_leaves_nothing_behind(store: JobStore, client: redis.Redis) -> None:
    job = spec(retain_s=1)
    store.run(accepting(job))
    (held,) = take(store)
    store.run(finish(held, good(), BY))
    deadline = time.monotonic() + 5
    while client.exists(PREFIX + "job:" + job.id):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.zadd(PREFIX + "expiry", {f"default/{job.id}": 1})
    swept(store)
    assert store.run(view([job.id], inline_results=1)) == [None]
    left = {text(key) for key in client.keys(PREFIX + "*")}
    assert left <= {
        PREFIX + name for name in ("stats", "pending", "tokens", "turns:m", "served:m", "owner:default", "swept")
    }

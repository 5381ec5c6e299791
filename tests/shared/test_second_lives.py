"""Ids, names and bytes that are used twice: by a retry, a replay, a redelivery, a client that takes an id again.

Each of these was a fault that the walks of test_state_machine.py found, as small as it gets.
"""

from __future__ import annotations

import pytest
import redis

from shared.dead import dead_letter, dead_letters, take_off
from shared.deliveries import deliveries_of, redeliver
from shared.errors import DeliveryNotFound
from shared.events import START, news
from shared.lifecycle import delete, retry
from shared.outbox import DueDelivery, State, due_hooks, hooks_due, settle_hook
from shared.schema import JobSpec, PictureResult, UploadSource, Webhook
from shared.steps import accept, blob_ttl_s, cancel, claim, crashed, finish, sweep
from shared.store import PREFIX, JobStore
from shared.uploads import hold, keep, kept
from shared.views import page
from tests.shared.machine.own_clock import LOG_MOST, Clock, ClockedStore, Trace
from tests.shared.store_samples import BY, accepting, bad, good, lose_deliveries, seen, spec, take

HOOK = Webhook(url="https://one.example/", events=("job.canceled",))
ELSEWHERE = Webhook(url="https://two.example/", events=("job.canceled",))
UPLOAD = UploadSource(upload="upl_" + "0" * 20)
LOG = '{"at": "2026-11-21T17:00:00Z", "status": 200, "latency_ms": 1.0, "error": null}'


def due(store: JobStore) -> DueDelivery:
    (one,) = store.run(due_hooks(10, 30))
    return one


def settle(store: JobStore, one: DueDelivery, state: State, next_s: float | None = None, gone: bool = False) -> None:
    store.run(settle_hook(one, log=LOG, state=state, next_try_s=next_s, because="gone" if gone else "no"))


def states(store: JobStore, job: JobSpec) -> list[State]:
    return [one.state for one in store.run(deliveries_of(job.id, job.owner))]


def canceled(store: JobStore, job: JobSpec) -> JobSpec:
    """A job under an id of the client's, at its end."""
    store.run(accepting(job, chosen="one"))
    assert store.run(cancel(job.id)) == "ended"
    return job


def test_who_listens_after_a_retry_hears_each_result_once(store: JobStore) -> None:
    job = spec(2)
    store.run(accepting(job))
    for _ in range(2):
        (one,) = take(store)
        store.run(finish(one, bad(one.index), BY))
    store.run(retry(job, queue_limit=10))
    for _ in range(2):
        (one,) = take(store)
        store.run(finish(one, good(one.index), BY))
    (found,) = store.run(news([(job.id, START)]))
    assert found is not None
    told = [(one.data.index, one.data.status) for one in found.events if isinstance(one.data, PictureResult)]
    assert told == [(0, "succeeded"), (1, "succeeded")]


@pytest.mark.parametrize("late", ["pending", "failed"])
def test_an_attempt_that_outlived_its_lease_does_not_undo_a_delivery(
    store: JobStore, client: redis.Redis, late: State
) -> None:
    job = canceled(store, spec(webhook=HOOK))
    frozen = due(store)
    lose_deliveries(client)
    settle(store, due(store), "delivered")
    settle(store, frozen, late, 0.0 if late == "pending" else None)
    assert states(store, job) == ["delivered"]
    assert store.run(hooks_due()) == 0
    assert store.run(due_hooks(10, 30)) == [], "what was delivered is sent again"


def test_an_attempt_that_outlived_its_lease_does_not_move_the_next_one(store: JobStore, client: redis.Redis) -> None:
    canceled(store, spec(webhook=HOOK))
    frozen = due(store)
    lose_deliveries(client)
    settle(store, due(store), "pending", 300.0)
    settle(store, frozen, "pending", 0.0)
    assert store.run(due_hooks(10, 30)) == []


def test_what_was_received_is_delivered_however_late_that_is_known(store: JobStore, client: redis.Redis) -> None:
    job = canceled(store, spec(webhook=HOOK))
    frozen = due(store)
    lose_deliveries(client)
    settle(store, due(store), "failed")
    settle(store, frozen, "delivered")
    assert states(store, job) == ["delivered"]
    assert not client.exists(PREFIX + "undelivered:default")


def test_no_delivery_outlives_its_job_into_the_next_one_of_its_id(store: JobStore, client: redis.Redis) -> None:
    old = canceled(store, spec(id="job_mine", owner="ann", webhook=HOOK))
    store.run(retry(old, queue_limit=10))
    store.run(cancel(old.id))
    assert len(states(store, old)) == 2
    client.delete(f"{PREFIX}job:{old.id}")  # its retention is over, its webhooks still wait
    new = canceled(store, spec(id="job_mine", owner="bob", webhook=ELSEWHERE))
    assert [one.url for one in store.run(due_hooks(10, 30))] == [ELSEWHERE.url], "one owner's end told to another"
    store.run(retry(new, queue_limit=10))
    assert states(store, new) == ["pending"]
    with pytest.raises(DeliveryNotFound):
        store.run(redeliver(new.id, new.owner, "job_mine.job.canceled.2"))
    store.run(cancel(new.id))
    assert [one.url for one in store.run(due_hooks(10, 30))] == [ELSEWHERE.url]


def test_an_attempt_for_a_job_that_was_deleted_decides_nothing_for_the_next_one_of_its_id(store: JobStore) -> None:
    canceled(store, spec(id="job_mine", webhook=HOOK))
    frozen = due(store)
    store.run(delete("job_mine"))
    new = canceled(store, spec(id="job_mine", webhook=ELSEWHERE))
    settle(store, frozen, "disabled", gone=True)
    assert states(store, new) == ["pending"]
    assert due(store).url == ELSEWHERE.url, "another address answered 410"


def test_a_picture_that_died_again_is_replayed_again(store: JobStore) -> None:
    job = spec()
    store.run(accepting(job))
    replays = set()
    for _ in range(2):
        (one,) = take(store)
        store.run(crashed(one, "a reason.", 1))
        found = store.run(dead_letter(job.id, 0))
        assert found is not None
        new, source = found
        store.run(accept(new, [source], queue_limit=10))
        store.run(take_off(job.id, 0, source, new))
        (one,) = take(store)
        assert one.job.id == new.id, "the replay is none"
        store.run(finish(one, bad(), BY))
        replays.add(new.id)
        store.run(retry(job, queue_limit=10))
    assert len(replays) == 2


@pytest.mark.parametrize("first", ["job", "replay"])
def test_a_picture_keeps_its_bytes_while_its_replay_or_its_job_waits(
    store: JobStore, client: redis.Redis, first: str
) -> None:
    job = spec(deadline_s=100, retain_s=100)
    store.run(accept(job, [UPLOAD], queue_limit=10, blobs={UPLOAD.upload: b"bytes"}))
    store.run(crashed(take(store)[0], "a reason.", 1))
    found = store.run(dead_letter(job.id, 0))
    assert found is not None
    new, source = found
    store.run(accept(new, [source], queue_limit=10))
    store.run(take_off(job.id, 0, source, new))
    store.run(retry(job, queue_limit=10))
    held = {one.job.id: one for one in (take(store)[0], take(store)[0])}
    store.run(finish(held[job.id if first == "job" else new.id], good(), BY))
    assert client.ttl(PREFIX + "blob:" + UPLOAD.upload) > 100, "the other one's bytes leave before its deadline"
    assert store.run(dead_letters(before=None, count=10)) == []


def test_claims_of_two_jobs_of_one_id_never_have_one_fence(client: redis.Redis) -> None:
    """Not even in one millisecond."""
    store = ClockedStore(client, Clock(client), Trace())
    fences = []
    for _ in range(3):
        store.run(accepting(spec(id="job_mine"), chosen="one"))
        (old,) = store.run(claim("m", 1, 30))
        fences.append(old.fence)
        store.run(delete("job_mine"))
    assert len(set(fences)) == 3
    store.run(accepting(spec(id="job_mine"), chosen="one"))
    (new,) = store.run(claim("m", 1, 30))
    assert store.run(finish(old, good(), BY)) is None
    assert seen(store, "job_mine").view.status == "running"
    assert store.run(finish(new, good(), BY)) == "succeeded"


def test_a_job_that_is_tried_again_in_the_last_moment_of_its_retention_stays_in_its_list(client: redis.Redis) -> None:
    clock = Clock(client)
    store = ClockedStore(client, clock, Trace())
    job = canceled(store, spec(id="job_mine", retain_s=10))
    clock.advance(10_000)
    store.run(sweep(most=10, max_attempts=3))
    store.run(retry(job, queue_limit=10))
    assert [id for id, _ in store.run(page(before=None, count=10))] == [job.id]


KEPT = UploadSource(upload="upk_" + "0" * 20)


def keep_and_name(store: JobStore) -> JobSpec:
    """A job that names an upload which its owner keeps for a minute."""
    store.run(keep("default", KEPT.upload, b"bytes", 5, 60, most_bytes=0))
    job = spec(deadline_s=5, retain_s=600)
    assert store.run(hold("default", [KEPT.upload], 60)) == []
    store.run(accept(job, [KEPT], queue_limit=10))
    return job


def is_kept_for(store: JobStore, client: redis.Redis, clock: Clock, ttl_s: int) -> None:
    """It counts as kept for as long as its bytes live, and a later job that needs it for less does not shorten that."""
    assert store.run(hold("default", [KEPT.upload], 61)) == []
    found = store.run(kept("default", KEPT.upload))
    assert found is not None
    assert found.expires_ms == clock.now_ms + ttl_s * 1000
    assert client.pexpiretime(PREFIX + "blob:" + KEPT.upload) == found.expires_ms


def test_a_retry_prolongs_what_its_owner_keeps(client: redis.Redis) -> None:
    clock = Clock(client)
    store = ClockedStore(client, clock, Trace())
    job = keep_and_name(store)
    store.run(cancel(job.id))
    clock.advance(59_000)
    store.run(retry(job, queue_limit=10))
    is_kept_for(store, client, clock, blob_ttl_s(job))


def test_a_replay_prolongs_what_its_owner_keeps(client: redis.Redis) -> None:
    clock = Clock(client)
    store = ClockedStore(client, clock, Trace())
    job = keep_and_name(store)
    (one,) = take(store)
    store.run(crashed(one, "a reason.", 1))
    clock.advance(59_000)
    found = store.run(dead_letter(job.id, 0))
    assert found is not None
    store.run(accept(found[0], [found[1]], queue_limit=10))
    assert store.run(take_off(job.id, 0, found[1], found[0]))
    is_kept_for(store, client, clock, blob_ttl_s(job))


def test_what_is_over_and_in_no_list_of_its_owner_is_not_kept(client: redis.Redis) -> None:
    """Pending when it left the log, it was kept for a week after its end, however many of them there were."""
    clock = Clock(client)
    store = ClockedStore(client, clock, Trace())
    first, second = (canceled(store, spec(id=f"job_{k}", webhook=HOOK)) for k in range(2))
    settle(store, due_of(store, first), "failed")
    clock.advance(1)
    others = [canceled(store, spec(id=f"job_other{k}", webhook=HOOK)) for k in range(LOG_MOST)]
    assert (states(store, first), states(store, second)) == (["failed"], ["pending"])
    for one in store.run(due_hooks(10, 30)):
        settle(store, one, "delivered" if one.job == second.id else "failed")
    assert states(store, second) == [], "it was delivered"
    assert states(store, first) == [], "others failed after it"
    assert [states(store, one) for one in others] == [["failed"]] * LOG_MOST


def due_of(store: JobStore, job: JobSpec) -> DueDelivery:
    """Its one delivery. Others that are due as well come back after their lease."""
    (one,) = [one for one in store.run(due_hooks(10, 0)) if one.job == job.id]
    return one

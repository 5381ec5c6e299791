"""Turns between owners: a heavy one delays nobody, and nobody starves."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import JobIdTaken, QuotaExceeded, RateLimited
from shared.keys import Limits
from shared.schema import Claim
from shared.steps import cancel, finish
from shared.store import PREFIX, JobStore
from shared.views import backlog, page, results, source_of, view
from tests.shared.store_samples import BY, accepting, good, seen, spec, swept, take

CHUNK = 16


def owners(claims: list[Claim]) -> list[str]:
    return [one.job.owner for one in claims]


def test_a_thousand_jobs_of_one_owner_do_not_delay_anothers_single_one(store: JobStore) -> None:
    for _ in range(1000):
        store.run(accepting(spec(owner="heavy")))
    for _ in range(20):
        take(store)
    for _ in range(3):
        light = spec(owner="light")
        store.run(accepting(light))
        assert seen(store, light.id).view.queue_position == 1
        assert light.id in [one.job.id for _ in range(2) for one in take(store)]
        for _ in range(10):
            take(store)


def test_owners_with_work_waiting_get_equal_shares(store: JobStore) -> None:
    store.run(accepting(spec(400, owner="bulk")))
    for name in ("one", "two"):
        for _ in range(200):
            store.run(accepting(spec(owner=name)))
    taken: list[str] = []
    while len(taken) < 240:
        taken += owners(take(store, CHUNK))
    shares = [taken.count(name) for name in ("bulk", "one", "two")]
    assert max(shares) - min(shares) <= CHUNK + 1


def test_one_who_always_has_one_job_waiting_does_not_starve_the_others(store: JobStore) -> None:
    for _ in range(50):
        store.run(accepting(spec(owner="b")))
    taken: list[str] = []
    store.run(accepting(spec(owner="a")))
    for _ in range(60):
        now = owners(take(store))
        if now == ["a"]:  # its queue is empty, until it sends the next one
            store.run(accepting(spec(owner="a")))
        taken += now
    assert abs(taken.count("a") - taken.count("b")) <= 1


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), min_size=1, max_size=12), st.integers(1, CHUNK))
def test_turns_lose_nothing_and_stay_fair(
    store: JobStore, client: redis.Redis, jobs: list[tuple[str, int]], most: int
) -> None:
    client.flushall()
    waiting = dict.fromkeys("abc", 0)
    for owner, total in jobs:
        store.run(accepting(spec(total, owner=owner)))
        waiting[owner] += total
    served = dict.fromkeys("abc", 0)
    while claims := take(store, most):
        behind = [name for name in "abc" if waiting[name] > served[name]]
        (owner,) = set(owners(claims))
        assert served[owner] <= min(served[name] for name in behind), "whoever had least is next"
        served[owner] += len(claims)
    assert served == waiting
    for name in {owner for owner, _ in jobs}:
        assert client.hget(f"{PREFIX}owner:{name}", "waiting") == b"0"
    assert store.run(backlog()) == {}


def test_counts_of_an_owner_follow_its_jobs(store: JobStore, client: redis.Redis) -> None:
    def counts() -> tuple[int, ...]:
        return tuple(int(count or "0") for count in client.hmget(f"{PREFIX}owner:shop", "open", "waiting"))

    jobs = [spec(2, owner="shop", id=f"job_{k}") for k in range(3)]
    for job in jobs:
        store.run(accepting(job))
    assert counts() == (3, 6)
    held = take(store, 1)
    store.run(cancel(jobs[1].id))
    assert counts() == (2, 3)
    client.zadd(PREFIX + "deadlines", {jobs[2].id: 1})
    swept(store)
    assert counts() == (1, 1)
    for one in [*held, *take(store, 1)]:
        store.run(finish(one, good(one.index), BY))
    assert counts() == (0, 0)


def test_the_store_holds_an_owner_to_its_limits(store: JobStore, client: redis.Redis) -> None:
    fast = Limits(rate=2.0, burst=2)
    lefts = [store.run(accepting(spec(owner="shop"), limits=fast)).left for _ in range(2)]
    assert lefts == [1, 0]
    with pytest.raises(RateLimited) as refused:
        store.run(accepting(spec(owner="shop"), limits=fast))
    assert refused.value.retry_after_s == 1
    client.hincrby(f"{PREFIX}owner:shop", "at", -1_000)  # as if a second had passed
    assert store.run(accepting(spec(owner="shop"), limits=fast)).left == 1
    client.hincrby(f"{PREFIX}owner:shop", "at", -3_600_000)
    assert store.run(accepting(spec(owner="shop"), limits=fast)).left == 1, "no more than the burst comes back"
    with pytest.raises(QuotaExceeded):
        store.run(accepting(spec(owner="shop"), limits=Limits(open_jobs=4)))
    with pytest.raises(QuotaExceeded):
        store.run(accepting(spec(2, owner="shop"), limits=Limits(waiting=5)))
    assert store.run(accepting(spec(owner="shop"), limits=Limits(waiting=5))).left is None


def test_the_store_shows_a_job_to_its_owner_alone(store: JobStore) -> None:
    job = spec(2, owner="shop")
    store.run(accepting(job))
    for owner, there in (("shop", True), ("", True), ("other", False), ("default", False)):
        (found,) = store.run(view([job.id], inline_results=9, owner=owner))
        assert (found is not None) == there
        assert (store.run(source_of(job.id, 0, owner)) is not None) == there
    snapshot = seen(store, job.id)
    other = type(snapshot)(job.model_copy(update={"owner": "other"}), snapshot.version, snapshot.view)
    assert (len(store.run(results(snapshot, 0, 9))), store.run(results(other, 0, 9))) == (2, [])
    assert store.run(page(before=None, count=9, owner="other")) == []
    assert store.run(cancel(job.id, "other")) == ""
    with pytest.raises(JobIdTaken):
        store.run(accepting(job.model_copy(update={"owner": "other"})))
    assert store.run(cancel(job.id, "shop")) == "ended"

"""Laws of retry, delete and chosen ids, whatever happens in whatever order: the server is looked at key by key.

After each step of a random walk every count is that of a recount from the records, and nothing names a job that was
deleted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from shared.errors import JobIdTaken, JobNotFinished, JobNotFound, NothingToRetry
from shared.lifecycle import delete, keep_drawn, retry
from shared.schema import TERMINAL, Claim, JobSpec, Options, UploadSource, UrlSource, Webhook
from shared.steps import (
    Idempotent,
    accept,
    beat,
    cancel,
    claim,
    crashed,
    finish,
    hand_back,
    sweep,
)
from shared.store import PREFIX, JobStore
from shared.views import open_jobs, stats
from tests.shared.store_samples import BY, bad, good, spec, text

MAX_ATTEMPTS = 3
HOOK = Webhook(url="https://example.com/hook", events=("job.succeeded", "job.failed", "job.canceled", "job.expired"))
OWNERS = ("default", "shop")
NUMBERS = st.integers(0, 4)


def everything(client: redis.Redis) -> dict[str, str]:
    """All keys with all that they hold, as text."""
    read: dict[str, Any] = {
        "hash": client.hgetall,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "string": client.get,
    }
    return {text(key): repr(read[text(client.type(key))](key)) for key in client.scan_iter(count=1000)}


class LifecycleWalk(RuleBasedStateMachine):
    """Rules are what clients, workers and the sweeper do."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.store = JobStore(self.client)
        self.made: dict[int, JobSpec] = {}
        self.lives: Counter[int] = Counter()
        self.newest: dict[tuple[str, int], int] = {}

    held: Bundle[Claim] = Bundle("held")

    def job(self, number: int, total: int) -> JobSpec:
        return spec(
            total,
            id=f"job_{number:06d}",
            webhook=HOOK,
            owner=OWNERS[number % 2],
            options=Options(draw=bool(number % 2)),
        )

    @rule(number=NUMBERS, total=st.integers(1, 12), uploads=st.booleans(), keyed=st.booleans())
    def put(self, number: int, total: int, uploads: bool, keyed: bool) -> None:
        """An id of a client's, used again once its job is gone; the fingerprint is the size."""
        job = self.job(number, total)
        names = [f"upl_{number:010d}{k:010d}" for k in range(total)]
        there = number in self.made
        step = accept(
            job,
            [UploadSource(upload=n) if uploads else UrlSource(url=f"https://example.com/{n}.jpg") for n in names],
            queue_limit=1000,
            blobs=dict.fromkeys(names, b"bytes") if uploads and not there else {},
            idempotent=Idempotent(f"{number}-{self.lives[number]}", str(total)) if keyed else None,
            chosen=str(total),
        )
        if not there:
            assert self.store.run(step).earlier is None
            self.made[number] = job
            self.lives[number] += 1
        elif self.made[number].total == total:
            assert self.store.run(step).earlier == job.id
        else:
            with pytest.raises(JobIdTaken):
                self.store.run(step)

    @rule(number=NUMBERS)
    def put_by_another(self, number: int) -> None:
        if number in self.made:
            job = self.made[number].model_copy(update={"owner": "other"})
            with pytest.raises(JobIdTaken):
                self.store.run(accept(job, [UrlSource(url="https://example.com/")], queue_limit=1000, chosen="x"))
            assert self.store.run(delete(job.id, "other")) is None

    @rule(target=held, most=st.integers(1, 12))
    def claim(self, most: int) -> Any:
        claims = self.store.run(claim("m", most, 30))
        for one in claims:
            key = (one.job.id, one.index)
            assert one.fence > self.newest.get(key, 0), "a fence came twice"
            assert 1 <= one.attempts <= MAX_ATTEMPTS
            self.newest[key] = one.fence
        return multiple(*claims)

    @rule(one=held, fine=st.booleans(), drawn=st.booleans())
    def finish(self, one: Claim, fine: bool, drawn: bool) -> None:
        stale = one.fence != self.newest[one.job.id, one.index] or not self.alive(one)
        if drawn and one.job.options.draw:
            assert not (self.store.run(keep_drawn(one, b"jpeg")) and stale)
        status = self.store.run(finish(one, (good if fine else bad)(one.index), BY))
        assert status is None or not stale, "a stale fence wrote"

    @rule(one=held)
    def decoder_crash(self, one: Claim) -> None:
        assert self.store.run(crashed(one, "a reason.", 1)) is None or self.alive(one)

    @rule()
    def give_up_and_retry(self) -> None:
        """A poison picture, and the retry that takes it off the list."""
        for one in self.store.run(claim("m", 1, 30)):
            self.newest[one.job.id, one.index] = one.fence
            assert self.store.run(crashed(one, "a reason.", 1))
            self.store.run(cancel(one.job.id))
            assert not isinstance(self.store.run(retry(one.job, queue_limit=1000)), list)

    @rule(one=held)
    def hand_back(self, one: Claim) -> None:
        assert not self.store.run(hand_back([one])) or self.alive(one)

    @rule(one=held)
    def beat(self, one: Claim) -> None:
        assert self.store.run(beat([one], 30)) or self.alive(one)

    @rule(one=held)
    def die(self, one: Claim) -> None:
        self.client.zadd(PREFIX + "leases", {f"{one.job.id}/{one.index}": 0}, xx=True)
        self.store.run(sweep(most=100, max_attempts=MAX_ATTEMPTS))

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        self.store.run(cancel(f"job_{number:06d}"))

    @rule(number=NUMBERS)
    def miss_deadline(self, number: int) -> None:
        self.client.zadd(PREFIX + "deadlines", {f"job_{number:06d}": 1}, xx=True)
        self.store.run(sweep(most=100, max_attempts=MAX_ATTEMPTS))

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        job = self.made.get(number) or self.job(number, 1)
        before = self.record(job.id)
        step = retry(job, queue_limit=1000)
        if not before:
            with pytest.raises(JobNotFound):
                self.store.run(step)
        elif before["status"] not in TERMINAL:
            with pytest.raises(JobNotFinished):
                self.store.run(step)
        elif int(before["ok"]) == job.total:
            with pytest.raises(NothingToRetry):
                self.store.run(step)
        else:
            uploads = before["p0"].startswith('{"upload"')
            gone = uploads and not self.client.exists(f"{PREFIX}blob:upl_{number:010d}{0:010d}")
            assert not gone, "an upload left before its picture succeeded"
            assert not isinstance(self.store.run(step), list)
            after = self.record(job.id)
            assert (after["status"], after["ok"]) == ("queued", before["ok"])
            assert self.client.ttl(PREFIX + "job:" + job.id) == -1

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        job = self.made.pop(number, None)
        assert (self.store.run(delete(f"job_{number:06d}")) is not None) == (job is not None)

    @rule(number=NUMBERS)
    def outlive_retention(self, number: int) -> None:
        """The record goes by itself; the rest of the index entries with the next sweep."""
        record = self.record(f"job_{number:06d}")
        if record and record["status"] in TERMINAL:
            owner = self.made.pop(number).owner
            self.client.delete(f"{PREFIX}job:job_{number:06d}", f"{PREFIX}done:job_{number:06d}")
            self.client.zadd(PREFIX + "expiry", {f"{owner}/job_{number:06d}": 1}, xx=True)

    def record(self, job: str) -> dict[str, str]:
        return {text(name): text(value) for name, value in self.client.hgetall(f"{PREFIX}job:{job}").items()}

    def alive(self, one: Claim) -> bool:
        """Whether this claim is the newest one of its picture, by the records."""
        return self.record(one.job.id).get(f"a{one.index}") == str(one.fence)

    @invariant()
    def nothing_names_a_deleted_job(self) -> None:
        # What a retention that is over leaves goes with sweeps; jobs that were deleted leave nothing at once.
        gone = {f"job_{number:06d}" for number in range(5)} - {job.id for job in self.made.values()}
        for key, held in everything(self.client).items():
            if key.removeprefix(PREFIX).split(":")[0] in self.by_itself:
                continue
            assert not [job for job in gone if job in key or job in held], f"{key} names a job that is gone"

    by_itself: frozenset[str] = frozenset()

    @invariant()
    def counts_are_those_of_a_recount(self) -> None:
        records = {job.id: (job, self.record(job.id)) for job in self.made.values()}
        leases = {text(member) for member in self.client.zrange(PREFIX + "leases", 0, -1)}
        open_now: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        expected: set[str] = set()
        for id_, (job, record) in records.items():
            kinds = Counter(self.kind(record, k, f"{id_}/{k}" in leases) for k in range(job.total))
            final = record["status"] in TERMINAL
            assert (int(record["ok"]), int(record["bad"])) == (kinds["ok"], kinds["bad"])
            assert int(record["gone"]) == (kinds["rest"] if final else 0)
            assert int(record["run"]) == kinds["run"]
            assert (self.client.zscore(PREFIX + "deadlines", id_) is None) == final
            assert (self.client.zscore(f"{PREFIX}expiry", f"{job.owner}/{id_}") is None) != final
            assert self.client.zscore(f"{PREFIX}jobs:{job.owner}", id_) is not None
            queued = self.client.zscore(f"{PREFIX}queue:m:{job.owner}", id_) is not None
            assert queued == (not final and kinds["rest"] > 0)
            expected |= {f"{id_}/{k}" for k in range(job.total) if '"poison"' in record.get(f"r{k}", "")}
            if not final:
                open_now[job.owner] += 1
                waiting[job.owner] += kinds["rest"]
        for owner in OWNERS:
            counted = [int(count or "0") for count in self.client.hmget(f"{PREFIX}owner:{owner}", "open", "waiting")]
            assert counted == [open_now[owner], waiting[owner]]
        assert int(self.client.hget(PREFIX + "pending", "m") or "0") == waiting.total()
        counters = self.store.run(stats())
        assert open_jobs(counters).get("m", 0) == open_now.total()
        dead = {text(member) for member in self.client.zrange(PREFIX + "dead", 0, -1)}
        assert {member for member in dead if member.split("/")[0] in records} == expected

    @staticmethod
    def kind(record: dict[str, str], index: int, leased: bool) -> str:
        result = record.get(f"r{index}")
        if result is not None:
            assert not leased, "a picture with a result has a lease"
            return "ok" if '"status":"succeeded"' in result else "bad"
        return "run" if leased else "rest"


class DeleteWalk(LifecycleWalk):
    """Without jobs that go by themselves, so that nothing at all may name one that is gone."""

    outlive_retention = None  # type: ignore[assignment]


class RetentionWalk(LifecycleWalk):
    """With them: entries of these wait for a sweep, and an id may be used again before it comes."""

    by_itself = frozenset(
        {"jobs", "expiry", "dead", "idem", "blob", "hook", "hooks", "taken", "deliveries", "undelivered"}
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", [DeleteWalk, RetentionWalk])
def test_the_laws_hold_on_random_walks(client: redis.Redis, kind: type[LifecycleWalk]) -> None:
    walk = type("Walk", (kind,), {"client": client})
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,  # the seed of a failure
            suppress_health_check=list(HealthCheck),
        ),
    )

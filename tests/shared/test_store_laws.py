"""Laws of the store, whatever happens in whatever order: a random walk over its steps against a plain model.

The real server and the real scripts; only the passing of time is made (leases and deadlines are moved into the past).
"""

from __future__ import annotations

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.errors import IdempotencyMismatch
from shared.outbox import due_hooks, settle_hook
from shared.schema import TERMINAL, Claim, Webhook
from shared.steps import (
    Idempotent,
    beat,
    cancel,
    claim,
    crashed,
    finish,
    hand_back,
    sweep,
)
from shared.store import PREFIX, JobStore
from shared.views import Snapshot, backlog, view
from tests.shared.store_samples import BY, accepting, bad, good, lose_deliveries, spec, text

MAX_ATTEMPTS = 3
ENDPOINT = "https://example.com:443"
HOOK = Webhook(url="https://example.com/hook", events=("job.succeeded", "job.failed", "job.canceled", "job.expired"))


class StoreWalk(RuleBasedStateMachine):
    """Rules are what clients, workers and the sweeper do; invariants are what must always hold."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.store = JobStore(self.client)
        self.jobs: dict[str, int] = {}
        self.final: dict[str, Snapshot] = {}
        self.written: dict[tuple[str, int], int] = {}
        self.newest: dict[tuple[str, int], int] = {}
        self.delivered: set[str] = set()

    held: Bundle[Claim] = Bundle("held")

    @rule(total=st.integers(1, 20), priority=st.sampled_from(["low", "normal", "high"]))
    def accept(self, total: int, priority: Any) -> None:
        # Names in order, so that jobs of one millisecond queue in the same order in every run.
        job = spec(total, priority=priority, id=f"job_{len(self.jobs):06d}", webhook=HOOK)
        taken = self.store.run(accepting(job, idempotent=Idempotent(job.id, str(total))))
        assert taken.earlier is None
        self.jobs[job.id] = total

    @rule(number=st.integers(0, 5), same=st.booleans())
    def accept_again(self, number: int, same: bool) -> None:
        """A client that heard no answer repeats its request; another one takes the key for something else."""
        job = f"job_{number:06d}"
        if job not in self.jobs:
            return
        key = Idempotent(job, str(self.jobs[job] if same else -1))
        again = accepting(spec(1, id="job_never"), idempotent=key)
        if same:
            assert self.store.run(again).earlier == job
        else:
            with pytest.raises(IdempotencyMismatch):
                self.store.run(again)
        assert self.store.run(view(["job_never"], inline_results=1)) == [None], "a key made a second job"

    @rule(most=st.integers(1, 8), dies=st.booleans())
    def deliver(self, most: int, dies: bool) -> None:
        """A worker takes due webhooks, and settles them or dies, which shows when their lease is over."""
        for one in self.store.run(due_hooks(most, 30)):
            assert one.name not in self.delivered, "a webhook came after its end"
            assert one.name == f"{one.job}.{one.event}"
            if dies:
                lose_deliveries(self.client)
            else:
                self.store.run(settle_hook(one, log="{}", state="delivered", next_try_s=None))
                self.delivered.add(one.name)

    @rule(target=held, most=st.integers(1, 16))
    def claim(self, most: int) -> Any:
        claims = self.store.run(claim("m", most, 30))
        assert len({one.job.id for one in claims}) <= 1
        for one in claims:
            key = (one.job.id, one.index)
            assert one.fence > self.newest.get(key, 0), "a fence came twice"
            self.newest[key] = one.fence
        return multiple(*claims)

    @rule(most=st.integers(1, 16))
    def crash(self, most: int) -> None:
        """A worker claims and dies; the sweeper finds out."""
        for one in self.store.run(claim("m", most, 30)):
            self.newest[one.job.id, one.index] = one.fence
            self.lose_lease(one)
        self.sweep()

    @rule(one=held, fine=st.booleans())
    def finish(self, one: Claim, fine: bool) -> None:
        before = self.snapshot(one.job.id)
        status = self.store.run(finish(one, (good if fine else bad)(one.index), BY))
        if status is None:
            assert self.snapshot(one.job.id) == before
        else:
            key = (one.job.id, one.index)
            assert key not in self.written, "a second result was committed"
            assert not before.final
            assert one.fence == self.newest[key], "a stale fence wrote"
            self.written[key] = one.fence

    @rule(one=consumes(held))
    def hand_back(self, one: Claim) -> None:
        self.store.run(hand_back([one]))

    @rule(one=held)
    def decoder_crash(self, one: Claim) -> None:
        before = self.snapshot(one.job.id)
        what = self.store.run(crashed(one, "a reason.", MAX_ATTEMPTS))
        if what is None:
            assert self.snapshot(one.job.id) == before
            return
        key = (one.job.id, one.index)
        assert one.fence == self.newest[key], "a stale fence crashed"
        assert (what == "again") == (one.attempts < MAX_ATTEMPTS)
        if what != "again":
            assert key not in self.written, "a second result was committed"
            self.written[key] = one.fence

    @rule(one=held)
    def beat(self, one: Claim) -> None:
        lost = self.store.run(beat([one], 30))
        still = self.client.zscore(PREFIX + "leases", f"{one.job.id}/{one.index}") is not None
        assert still or lost

    @rule(one=held)
    def lose_lease(self, one: Claim) -> None:
        self.client.zadd(PREFIX + "leases", {f"{one.job.id}/{one.index}": 0}, xx=True)

    @rule()
    def sweep(self) -> None:
        self.store.run(sweep(most=100, max_attempts=MAX_ATTEMPTS))

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        self.store.run(cancel(f"job_{number:06d}"))

    @rule(number=st.integers(0, 5))
    def miss_deadline(self, number: int) -> None:
        self.client.zadd(PREFIX + "deadlines", {f"job_{number:06d}": 1}, xx=True)

    def snapshot(self, job: str) -> Snapshot:
        (found,) = self.store.run(view([job], inline_results=100))
        assert found is not None, "an accepted job disappeared"
        return found

    @invariant()
    def no_job_is_lost_and_final_states_stay(self) -> None:
        waiting = 0
        for job, total in self.jobs.items():
            now = self.snapshot(job)
            counts = now.view.counts
            parts = (counts.queued, counts.running, counts.succeeded, counts.failed, counts.canceled, counts.expired)
            assert min(parts) >= 0
            assert sum(parts) == total == counts.total
            waiting += counts.queued
            if job in self.final:
                assert now == self.final[job], "a final job changed"
            if now.view.status in TERMINAL:
                self.final[job] = now
                assert counts.queued == counts.running == 0
            results = now.view.results or ()
            assert all(result.attempts <= MAX_ATTEMPTS for result in results)
        outbox = {text(name) for name in self.client.zrange(PREFIX + "hooks:" + ENDPOINT, 0, -1)}
        events = {f"{job}.job.{one.view.status}" for job, one in self.final.items()}
        assert outbox | self.delivered == events, "each end is told under one id, and nothing else is"
        assert not outbox & self.delivered
        open_now = sum(job not in self.final for job in self.jobs)
        counted = self.client.hmget(f"{PREFIX}owner:default", "open", "waiting")
        assert [int(count or "0") for count in counted] == [open_now, waiting], "an owner's counts are wrong"
        behind = self.store.run(backlog()).get("m")
        assert (behind.pictures if behind else 0) == waiting

    def teardown(self) -> None:
        """Whatever happened, workers that go on reach a final state for every job."""
        for _ in range(sum(self.jobs.values()) * (MAX_ATTEMPTS + 1) + 1):
            claims = self.store.run(claim("m", 16, 30))
            for one in claims:
                self.store.run(finish(one, good(one.index), BY))
            for member in self.client.zrange(PREFIX + "leases", 0, -1):
                self.client.zadd(PREFIX + "leases", {text(member): 0})
            done = self.store.run(sweep(most=100, max_attempts=MAX_ATTEMPTS))
            if not claims and not done.requeued:
                break
        assert all(self.snapshot(job).final for job in self.jobs)


@pytest.mark.timeout(180)
def test_the_laws_hold_on_random_walks(client: redis.Redis) -> None:
    walk = type("Walk", (StoreWalk,), {"client": client})
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,  # the seed of a failure
            suppress_health_check=list(HealthCheck),
        ),
    )

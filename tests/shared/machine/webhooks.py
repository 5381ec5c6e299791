"""What becomes of webhooks, as rules: attempts, redeliveries, recoveries, their log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.deliveries import deliveries, deliveries_of, recover, redeliver
from shared.errors import DeliveryNotFound, JobNotFound, WebhookCallsLimited
from shared.outbox import DueDelivery, State, due_hooks, settle_hook
from tests.shared.machine.ground import OWNERS, PICK, Ground
from tests.shared.machine.reference_hooks import AGAIN_MS, Delivery
from tests.shared.machine.reference_records import Job

HOOK_LEASE_S = 30
LOG = '{"at": "2096-10-02T07:06:40Z", "status": 200, "latency_ms": 1.0, "error": null}'
MOST_CALLS = 29
"""Of an owner in a walk: the bucket of 30 is a matter of tests/shared/test_deliveries.py."""
Outcome = tuple[State, float | None, Any]
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        ("delivered", None, "no"),
        ("pending", 5.0, "no"),
        ("pending", 120.0, "trouble"),
        ("failed", None, "no"),
        ("disabled", None, "gone"),
    ]
)


class Webhooks(Ground):
    """Part of the walk. An attempt's outcome comes once at most, at any time."""

    @precondition(lambda self: self.outbox.pending())
    @rule(most=st.sampled_from([1, 3, 32]), outcomes=st.lists(OUTCOMES | st.none(), min_size=1, max_size=3))
    def deliver(self, most: int, outcomes: list[Outcome | None]) -> None:
        """A worker takes what is due and settles it; None: it will come back with that, or never."""
        self.settle_all(self.take_webhooks(most), outcomes)

    @precondition(lambda self: self.outbox.pending())
    @rule(outcomes=st.lists(OUTCOMES | st.none(), min_size=1, max_size=3))
    def deliver_after_a_freeze(self, outcomes: list[Outcome | None]) -> None:
        """A worker is frozen for longer than the lease; another one takes the same, and the first one thaws."""
        frozen = self.take_webhooks(32)
        self.clock.advance(HOOK_LEASE_S * 1000)
        self.content = self.look()
        self.settle_all(self.take_webhooks(32), outcomes)
        self.settle_all(frozen, outcomes[::-1])

    def settle_all(self, attempts: list[tuple[DueDelivery, Delivery]], outcomes: list[Outcome | None]) -> None:
        for at, attempt in enumerate(attempts):
            outcome = outcomes[at % len(outcomes)]
            if outcome:
                self.settle_webhook(*attempt, outcome)
            else:
                self.attempts = [*self.attempts, attempt][-12:]

    @precondition(lambda self: self.attempts)
    @rule(pick=PICK, outcome=OUTCOMES)
    def attempt_comes_back(self, pick: int, outcome: Outcome) -> None:
        """After its lease perhaps, or a redelivery, or the end of the job."""
        self.settle_webhook(*self.attempts.pop(pick % len(self.attempts)), outcome)

    def take_webhooks(self, most: int) -> list[tuple[DueDelivery, Delivery]]:
        looked_at = [endpoint for endpoint, due in self.content.zset("hooks").items() if due <= self.now]
        expected = self.outbox.take(looked_at, most, HOOK_LEASE_S * 1000, self.now)
        taken = self.worker.run(due_hooks(most, HOOK_LEASE_S))
        told = [(one.name, one.job, one.event, one.url, one.at_ms, one.tries, one.round, one.owner) for one in taken]
        assert told == [
            (one.name, one.job, one.event, one.url, one.at_ms, one.tries, one.era + one.round, one.owner)
            for one in expected
        ], "other deliveries than those that are due"
        return list(zip(taken, expected, strict=True))

    def settle_webhook(self, due: DueDelivery, one: Delivery, outcome: Outcome) -> None:
        state, next_s, because = outcome
        made = self.worker.run(settle_hook(due, log=LOG, state=state, next_try_s=next_s, because=because))
        next_ms = None if next_s is None else int(next_s * 1000)
        assert made == self.outbox.settle(one, due, state, next_ms, because, self.now)

    @precondition(lambda self: self.outbox.deliveries)
    @rule(pick=PICK)
    def redeliver(self, pick: int) -> None:
        names = list(self.outbox.deliveries)
        one = self.outbox.deliveries[names[pick % len(names)]]
        call = redeliver(one.job, one.owner, one.name)
        why: type[Exception] | None = None
        if self.jobs.kept(one.job, self.now) is None:
            why = JobNotFound
        elif not one.kept(self.now):
            why = DeliveryNotFound
        elif one.asked_ms is not None and self.now < one.asked_ms + AGAIN_MS:
            why = WebhookCallsLimited
        if why:
            with pytest.raises(why):
                self.api.run(call)
        elif self.calls[one.owner] < MOST_CALLS:
            self.calls[one.owner] += 1
            self.api.run(call)
            self.outbox.send_again(one, self.now)

    @precondition(lambda self: self.outbox.deliveries)
    @rule(owner=OWNERS, back_ms=st.sampled_from([0, 5000, 100_000]), most=st.sampled_from([1, 1000]))
    def recover(self, owner: str, back_ms: int, most: int) -> None:
        if self.calls[owner] >= MOST_CALLS:
            return
        self.calls[owner] += 1
        since = self.now - back_ms
        lost = sent = 0
        missing = self.outbox.missing[owner]
        oldest_first = missing.newest_first(self.now)[::-1]
        for name in [name for name in oldest_first if since <= missing.names[name] <= self.now][:most]:
            one = self.outbox.deliveries.get(name)
            if one and one.kept(self.now) and self.jobs.kept(one.job, self.now):
                self.outbox.send_again(one, self.now)
                sent += 1
            else:
                lost += 1
        found = self.api.run(recover(owner, since, self.now, most))
        assert (found.sent, found.lost) == (sent, lost)

    def look_at_deliveries(self, job: Job) -> None:
        """All of a job, and no others."""
        if not job.kept(self.now):
            with pytest.raises(JobNotFound):
                self.api.run(deliveries_of(job.id, job.owner))
            return
        known = {
            one.name: one.state for one in self.outbox.deliveries.values() if one.job == job.id and one.kept(self.now)
        }
        assert {one.id: one.state for one in self.api.run(deliveries_of(job.id, job.owner))} == known

    def look_at_log(self, owner: str, state: State | None) -> None:
        """An owner's deliveries, page by page."""
        before, told = None, []
        while True:
            found = self.api.run(deliveries(owner, state=state, before=before, count=2))
            told += [(one.id, one.state) for one in found.deliveries]
            before = found.last
            if before is None:
                break
        assert told == [(one.name, one.state) for one in self.outbox.listed(owner, state, self.now)]

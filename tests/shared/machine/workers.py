"""What workers, the sweeper and time do, as rules."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.lifecycle import keep_drawn
from shared.schema import Claim
from shared.steps import beat, blob_ttl_s, claim, crashed, finish, give_way, hand_back, linger, sweep, top_up
from shared.store import PREFIX
from tests.shared.machine.ground import DAY_MS, MODELS, PICK, Ground
from tests.shared.machine.own_clock import START_MS
from tests.shared.machine.reference_jobs import MAX_ATTEMPTS
from tests.shared.machine.reference_records import Job
from tests.shared.store_samples import BY, bad, good

LEASE_S, LEASE_MS = 10.0, 10_000
GRACE_S, PATIENCE_S = LEASE_S, 6.0
STEPS_OF_TIME = [1, 400, 3000, 6001, 10_000, 10_001, 31_000, 61_000, DAY_MS]


ENDS = st.sampled_from(["fine", "fine", "bad", "crash", "back", "draw", "keep"])


class Workers(Ground):
    """Part of the walk. What a worker once claimed it may come back with at any time, however late."""

    def take(self, model: str, most: int, *, first: bool) -> list[tuple[Claim, Job]]:
        """A claim."""
        if first:
            self.jobs.tokens.came(model)
        expected = self.jobs.claim(model, most, LEASE_MS, self.now)
        found = self.worker.run(claim(model, most, LEASE_S, first=first))
        held = [(one.job.id, one.index, one.fence, one.attempts) for one in found]
        if expected is None:
            assert held == [], "a picture that does not wait"
            return []
        job, indexes = expected
        told = [(job.id, k, job.pictures[k].claims, job.pictures[k].attempts) for k in indexes]
        assert held == told, "another picture than that whose turn it is, or under another fence"
        assert all(one.attempts <= MAX_ATTEMPTS for one in found), "an attempt too many"
        for one in found:
            assert one.wary == (self.now <= self.jobs.wary_ms)
            stored = self.jobs.stored(job.pictures[one.index].upload, self.now)
            assert one.data == (b"bytes" if stored else None), "a picture came without its bytes, or the reverse"
        taken = [(one, job) for one in found]
        self.claims = (self.claims + taken)[-24:]
        return taken

    @rule(model=MODELS, most=st.integers(1, 16), ends=st.lists(ENDS, min_size=1, max_size=4), lost=st.integers(0, 9))
    def work(self, model: str, most: int, ends: list[str], lost: int) -> None:
        """A thread claims, for a token if there is one, and does something with each picture, or keeps it in hand."""
        first = self.broker[model] > 0
        if first:
            self.broker[model] -= 1
            if not lost:  # one token in ten, on its way
                return
        for at, (one, job) in enumerate(self.take(model, most, first=first)):
            self.end(ends[at % len(ends)], one, job)

    @rule(model=MODELS)
    def picture_kills(self, model: str) -> None:
        """One picture ends its decoder at every attempt."""
        for _ in range(MAX_ATTEMPTS):
            for held in self.take(model, 1, first=False):
                self.end("crash", *held)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, ends=st.lists(ENDS, min_size=1, max_size=3))
    def come_back(self, pick: int, ends: list[str]) -> None:
        """A thread comes back with what it once claimed, however late."""
        for end in ends:
            self.end(end, *self.claims[pick % len(self.claims)])

    def end(self, what: str, one: Claim, job: Job) -> None:
        """Do it, where the reference says that this claim may, and see it refused elsewhere."""
        held = self.jobs.holds(job, one.index, one.fence, self.now)
        if what in ("fine", "bad"):
            result = (good if what == "fine" else bad)(one.index)
            status = self.worker.run(finish(one, result, BY.model_copy(update={"name": job.model})))
            expected = self.jobs.finish(job, one.index, one.fence, what == "fine", self.now)
            assert status == expected, "a stale fence wrote, or a result was refused"
        elif what == "crash":
            said = self.worker.run(crashed(one, "a reason.", MAX_ATTEMPTS))
            assert said == self.jobs.crashed(job, one.index, one.fence, self.now)
        elif what == "back":
            given = self.worker.run(hand_back([one]))
            assert given == self.jobs.hand_back([(job, one.index, one.fence)], self.now)
        elif what == "draw" and job.draw:
            kept = self.worker.run(keep_drawn(one, b"jpeg"))
            assert kept == (held is not None), "a stale fence drew, or one was refused"
            if held:
                self.jobs.uploads[f"drawn_{job.id}_{one.index}"] = self.now + blob_ttl_s(one.job) * 1000

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, count=st.integers(1, 24))
    def beat(self, pick: int, count: int) -> None:
        some = self.claims[pick % len(self.claims) :][:count]
        lost = self.worker.run(beat([one for one, _ in some], LEASE_S))
        expected = set()
        for one, job in some:
            picture = self.jobs.holds(job, one.index, one.fence, self.now)
            if picture:
                picture.lease_ms = self.now + LEASE_MS
            else:
                expected.add((one.job.id, one.index))
        assert lost == expected, "a lease is lost that is held, or the reverse"

    @rule(model=MODELS, what=st.sampled_from(["linger", "linger", "wake", "give way", "end", "top up"]))
    def threads_without_work(self, model: str, what: str) -> None:
        """They wait for a moment, or make room for others; the sweeper counts tokens in the broker."""
        if what == "linger":
            self.linger(model)
        elif what == "wake":
            self.wake(model)
        elif what == "top up":
            self.jobs.tokens.on_way[model] = self.broker[model]
            tokens = self.jobs.due_tokens(model, self.now)
            assert self.api.run(top_up(model, self.broker[model])) == tokens
            self.broker[model] += tokens
        else:
            ends = what == "end" or self.wanted(model)
            assert self.worker.run(give_way(model, always=what == "end")) == ends
            self.jobs.tokens.on_way[model] += ends
            self.broker[model] += ends

    def wanted(self, model: str) -> bool:
        """Whether somebody else waits for a thread."""
        webhooks = any(due <= self.now for due in self.content.zset("hooks").values())
        return webhooks or self.jobs.tokens.wanted_beside(model)

    def linger(self, model: str) -> None:
        """A thread that found nothing waits, unless somebody else wants it."""
        call = linger(model, 0.25)
        thread = f"thread{self.name()}"
        waits = self.worker.run(dataclasses.replace(call, args=(model, thread, *call.args[2:])))
        assert waits == (not self.wanted(model) and not self.jobs.waiting(model=model))
        if waits:
            threads = self.jobs.tokens.lingering.setdefault(model, {})
            for gone in [name for name in threads if max(threads.values()) < self.now]:
                del threads[gone]  # the whole set lives as long as the last one waits
            threads[thread] = self.now + 250

    def wake(self, model: str) -> None:
        """A thread that was woken claims, as if it were a token."""
        if self.place.worker.lpop(f"{PREFIX}wake:{model}") is None:
            assert not self.jobs.tokens.awake(model, self.now)
            return
        self.jobs.tokens.wakes(model)
        self.take(model, 1, first=True)

    # -- the sweeper and time --------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from(STEPS_OF_TIME), then=st.sampled_from([0, 0, 1, 2, 1000]))
    def time_passes(self, ms: int, then: int) -> None:
        """And perhaps somebody sweeps then: after a gap, if it was long."""
        if self.now + ms < START_MS + 20 * DAY_MS:
            self.clock.advance(ms)
        if then:
            self.sweep(then)

    @rule(times=st.sampled_from([1, 4, 8]))
    def sweepers_work(self, times: int) -> None:
        """Time passes, and somebody sweeps now and then, as it is while the store is in reach."""
        for _ in range(times):
            self.clock.advance(int(PATIENCE_S * 500))
            self.sweep(1000)

    def sweep(self, most: int) -> None:
        *counts, stopped = self.jobs.sweep(most, int(GRACE_S * 1000), int(PATIENCE_S * 1000), self.now)
        swept = self.api.run(sweep(most=most, max_attempts=MAX_ATTEMPTS, grace_s=GRACE_S, patience_s=PATIENCE_S))
        assert [swept.requeued, swept.poisoned, swept.expired] == counts
        assert swept.more or not stopped, "a sweep that says nothing of what it left"

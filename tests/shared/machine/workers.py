"""What workers, the sweeper and time do, as rules."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.lifecycle import keep_drawn
from shared.steps import beat, blob_ttl_s, claim, crashed, finish, give_way, hand_back, linger, sweep, top_up
from shared.store import PREFIX
from tests.shared.machine.ground import DAY_MS, MODELS, PICK, Ground
from tests.shared.machine.own_clock import START_MS
from tests.shared.machine.reference_jobs import MAX_ATTEMPTS
from tests.shared.store_samples import BY, bad, good

LEASE_S, LEASE_MS = 10.0, 10_000
GRACE_S, PATIENCE_S = LEASE_S, 6.0
STEPS_OF_TIME = [1, 400, 1000, 3000, 6001, 10_000, 10_001, 31_000, 61_000, DAY_MS]


class Workers(Ground):
    """Part of the walk. What a worker once claimed it may come back with at any time, however late."""

    def take(self, model: str, most: int, *, first: bool) -> None:
        """A claim."""
        if first:
            self.jobs.tokens.came(model)
        expected = self.jobs.claim(model, most, LEASE_MS, self.now)
        found = self.worker.run(claim(model, most, LEASE_S, first=first))
        held = [(one.job.id, one.index, one.fence, one.attempts) for one in found]
        if expected is None:
            assert held == [], "a picture that does not wait"
            return
        job, indexes = expected
        told = [(job.id, k, job.pictures[k].claims, job.pictures[k].attempts) for k in indexes]
        assert held == told, "another picture than that whose turn it is, or under another fence"
        assert all(one.attempts <= MAX_ATTEMPTS for one in found), "an attempt too many"
        for one in found:
            assert one.wary == (self.now <= self.jobs.wary_ms)
            stored = self.jobs.stored(job.pictures[one.index].upload, self.now)
            assert one.data == (b"bytes" if stored else None), "a picture came without its bytes, or the reverse"
        self.claims = (self.claims + [(one, job) for one in found])[-24:]

    @precondition(lambda self: any(self.broker.values()))
    @rule(pick=PICK, most=st.integers(1, 8), lost=st.integers(0, 9))
    def token(self, pick: int, most: int, lost: int) -> None:
        """A worker takes a token and works on what waits; one in ten is lost on the way."""
        models = sorted(model for model, count in self.broker.items() if count)
        model = models[pick % len(models)]
        self.broker[model] -= 1
        if lost:
            self.take(model, most, first=True)

    @rule(model=MODELS, most=st.integers(1, 16))
    def go_on(self, model: str, most: int) -> None:
        """A thread that has worked on a model takes what waits next."""
        self.take(model, most, first=False)

    def wanted(self, model: str) -> bool:
        """Whether somebody else waits for a thread."""
        return self.jobs.tokens.wanted_beside(model) or any(
            due <= self.now for due in self.content.zset("hooks").values()
        )

    @rule(model=MODELS)
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

    @precondition(lambda self: any(self.jobs.tokens.woken))
    @rule(model=MODELS, most=st.integers(1, 8))
    def wake(self, model: str, most: int) -> None:
        """A thread that was woken claims, as if it were a token."""
        if self.place.worker.lpop(f"{PREFIX}wake:{model}") is None:
            assert not self.jobs.tokens.awake(model, self.now)
            return
        self.jobs.tokens.wakes(model)
        self.take(model, most, first=True)

    @rule(model=MODELS, always=st.booleans())
    def give_way(self, model: str, always: bool) -> None:
        ends = always or self.wanted(model)
        assert self.worker.run(give_way(model, always=always)) == ends
        if ends:
            self.jobs.tokens.on_way[model] += 1
            self.broker[model] += 1

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, fine=st.booleans())
    def finish(self, pick: int, fine: bool) -> None:
        one, job = self.claims[pick % len(self.claims)]
        by = BY.model_copy(update={"name": job.model})
        status = self.worker.run(finish(one, (good if fine else bad)(one.index), by))
        expected = self.jobs.finish(job, one.index, one.fence, fine, self.now)
        assert status == expected, "a stale fence wrote, or a result was refused"

    @precondition(lambda self: any(job.draw for _, job in self.claims))
    @rule(pick=PICK)
    def draw(self, pick: int) -> None:
        drawing = [(one, job) for one, job in self.claims if job.draw]
        one, job = drawing[pick % len(drawing)]
        held = self.jobs.holds(job, one.index, one.fence, self.now)
        assert self.worker.run(keep_drawn(one, b"jpeg")) == (held is not None), "a stale fence drew, or one was refused"
        if held:
            self.jobs.uploads[f"drawn_{job.id}_{one.index}"] = self.now + blob_ttl_s(one.job) * 1000

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def decoder_ends(self, pick: int) -> None:
        one, job = self.claims[pick % len(self.claims)]
        what = self.worker.run(crashed(one, "a reason.", MAX_ATTEMPTS))
        assert what == self.jobs.crashed(job, one.index, one.fence, self.now)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, count=st.integers(1, 4))
    def hand_back(self, pick: int, count: int) -> None:
        some = self.claims[pick % len(self.claims) :][:count]
        given = self.worker.run(hand_back([one for one, _ in some]))
        assert given == self.jobs.hand_back([(job, one.index, one.fence) for one, job in some], self.now)

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

    # -- the sweeper and time --------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from(STEPS_OF_TIME))
    def time_passes(self, ms: int) -> None:
        if self.now + ms < START_MS + 20 * DAY_MS:
            self.clock.advance(ms)

    @rule(most=st.sampled_from([1, 1000]), times=st.sampled_from([1, 1, 5, 9]))
    def sweepers_work(self, most: int, times: int) -> None:
        """Time passes, and somebody sweeps now and then, as it is while the store is in reach."""
        for _ in range(times):
            self.clock.advance(int(PATIENCE_S * 500))
            self.sweep(most)

    @rule(most=st.sampled_from([1, 2, 1000]))
    def sweep(self, most: int) -> None:
        *counts, stopped = self.jobs.sweep(most, int(GRACE_S * 1000), int(PATIENCE_S * 1000), self.now)
        swept = self.api.run(sweep(most=most, max_attempts=MAX_ATTEMPTS, grace_s=GRACE_S, patience_s=PATIENCE_S))
        assert [swept.requeued, swept.poisoned, swept.expired] == counts
        assert swept.more or not stopped, "a sweep that says nothing of what it left"

    @rule(model=MODELS)
    def top_up(self, model: str) -> None:
        """The sweeper has counted the tokens in the broker: lost ones are made up for."""
        self.jobs.tokens.on_way[model] = self.broker[model]
        tokens = self.jobs.due_tokens(model, self.now)
        assert self.api.run(top_up(model, self.broker[model])) == tokens
        self.broker[model] += tokens

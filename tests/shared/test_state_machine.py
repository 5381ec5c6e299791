"""The state machine of jobs, whatever happens in whatever order: random walks over its steps against a reference.

The real scripts on a real server, as the users of a real one, under a clock of the test (`machine/own_clock.py`). Each
step's answer has to be the reference's (`machine/reference_jobs.py`, `machine/reference_hooks.py`), and after each step
the whole content of the store what follows from it (`machine/recount.py`). A failure prints the shortest walk to it and
a line that repeats it.

    pytest tests/shared/test_state_machine.py                                                  a short form
    pytest tests/shared/test_state_machine.py --hypothesis-profile=long --hypothesis-seed=1    ten minutes

The profile is in tests/conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from shared.connection import connect
from shared.keys import UNLIMITED
from shared.outbox import State
from shared.steps import blob_ttl_s, cancel
from tests.roles import as_role
from tests.shared.machine.clients import Clients
from tests.shared.machine.ground import DAY_MS, OWNERS, PICK, Place
from tests.shared.machine.listeners import Listeners
from tests.shared.machine.looks import Looks
from tests.shared.machine.recount import nothing_left
from tests.shared.machine.reference_jobs import MAX_ATTEMPTS
from tests.shared.machine.reference_records import Picture
from tests.shared.machine.webhooks import Webhooks
from tests.shared.machine.workers import LEASE_MS, PATIENCE_S, Workers

LONG = settings.get_current_profile_name() == "long"
SHORT = settings(
    max_examples=70,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,  # a change is judged by the walks that the code before it went; new ones are the long form's
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


class Walk(Clients, Workers, Webhooks, Listeners, Looks):
    """Everything that can happen, and in the end what must come of it."""

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK, state=st.sampled_from([None, "pending", "delivered", "failed"]))
    def look_around(self, pick: int, state: State | None) -> None:
        """A job and what is beside it, in every form in which clients see it."""
        job = self.job(pick)
        self.look_at_job(job)
        self.look_at_deliveries(job)
        self.look_at_log(job.owner, state)
        self.listen_from_the_start(job)
        self.look_at_lists(job.owner)
        self.look_at_uploads(job.owner)

    @rule(owner=OWNERS, kills=st.booleans(), later_ms=st.sampled_from([0, 5000, 9999]))
    def try_a_kept_upload_again(self, owner: str, kills: bool, later_ms: int) -> None:
        """A job that names one ends by a cancel or by that picture, and is wanted once more."""
        kept = self.send_upload(owner, 1, 60, False, 0, UNLIMITED)
        spec = self.new(f"job_{self.name()}", owner, "n", 1, priority="high", deadline_s=5, retain_s=10)
        assert kept is not None
        assert self.held_for_a_job(owner, [kept.name], blob_ttl_s(spec))
        self.submit(spec, [Picture(kept.name)])
        job = self.jobs.jobs.get(spec.id)
        if job is None:
            return
        if kills:
            self.picture_kills("n")
        if job.open:
            assert self.api.run(cancel(job.id, owner)) == self.jobs.cancel(job.id, owner, self.now)
        self.clock.advance(later_ms)
        if (job.id, 0) in self.jobs.dead:
            self.replay_dead(job.id, 0)
        else:
            self.try_again(job, UNLIMITED)

    def teardown(self) -> None:
        """Whatever happened, those who go on reach the end of every job and webhook, and in time nothing is left."""
        if self.checked != self.trace.calls:
            return  # a step broke off, and that is the failure to show
        self.the_store_holds_what_follows()
        last_ms = self.now + (MAX_ATTEMPTS + 1) * 2 * LEASE_MS
        while self.jobs.open_jobs():
            assert self.now < last_ms, "a job has no end"
            for model in ("m", "n"):
                while self.jobs.waiting(model=model):
                    for at, held in enumerate(self.take(model, 16, first=False)):
                        self.end(("fine", "keep", "crash", "bad")[at % 4], *held)
            self.clock.advance(int(PATIENCE_S * 1000))
            self.sweep(1000)
            self.the_store_holds_what_follows()
        self.clock.advance(DAY_MS)
        while self.outbox.pending():
            self.the_store_holds_what_follows()
            for attempt in self.take_webhooks(32):
                self.settle_webhook(*attempt, ("delivered", None, "no"))
        self.clock.advance(40 * DAY_MS)
        self.sweep(1000)
        self.the_store_holds_what_follows()
        nothing_left(self.content)
        self.place.trace = self.trace.digest()


@pytest.fixture
def place(redis_url: str) -> Iterator[Place]:
    with (
        redis.Redis.from_url(redis_url) as admin,
        connect(as_role(redis_url, "api"), "test") as api,
        connect(as_role(redis_url, "worker"), "test") as worker,
    ):
        yield Place(admin, api, worker)


@pytest.mark.timeout(1800 if LONG else 180)
def test_every_walk_goes_as_the_reference_says(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run_state_machine_as_test(type("ThisWalk", (Walk,), {"place": place}), settings=settings() if LONG else SHORT)
    if LONG:
        with capsys.disabled():
            print(f"\n{place.walks} walks, {place.steps} steps")  # noqa: T201


def test_the_same_seed_is_the_same_walk(place: Place) -> None:
    """To the byte: every call and every reply."""
    traces = []
    for _ in range(2):
        walk = seed(7)(type("ThisWalk", (Walk,), {"place": place}))
        run_state_machine_as_test(
            walk, settings=settings(SHORT, max_examples=3, derandomize=False, database=None, phases=[Phase.generate])
        )
        traces.append((place.steps, place.trace))
        place.steps = 0
    assert traces[0] == traces[1]

"""What all rules of the state machine share: the server and its clock, the reference, what clients and workers hold.

Rules are in `clients.py`, `uploads.py`, `workers.py`, `webhooks.py` and `listeners.py`, looks in `looks.py`: parts of
the walk that tests/shared/test_state_machine.py puts together. After each step the store has to hold what follows from
the reference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from shared.events import Event
from shared.outbox import DueDelivery
from shared.schema import Claim
from tests.shared.machine.own_clock import Clock, ClockedStore, Content, Look, Trace
from tests.shared.machine.recount import nothing_names, recount
from tests.shared.machine.reference_hooks import Delivery, Outbox
from tests.shared.machine.reference_jobs import Reference
from tests.shared.machine.reference_quotas import Buckets
from tests.shared.machine.reference_records import Job
from tests.shared.machine.reference_uploads import KeptUploads

DAY_MS = 86_400_000

OWNERS = st.sampled_from(["default", "ann", "bob"])
MODELS = st.sampled_from(["m", "n"])
PICK = st.integers(0, 999)


@dataclass
class Place:
    """The server that walks go to, with a client for each role, and what was walked there."""

    admin: redis.Redis
    api: redis.Redis
    worker: redis.Redis
    steps: int = 0
    walks: int = 0
    trace: str = ""


class Ground(RuleBasedStateMachine):
    """A walk without rules."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self.place.admin.flushall()
        self.place.walks += 1
        self.clock, self.trace = Clock(self.place.admin), Trace()
        self.api = ClockedStore(self.place.api, self.clock, self.trace)
        self.worker = ClockedStore(self.place.worker, self.clock, self.trace)
        self.look = Look(self.place.admin)
        self.content = Content()
        self.jobs, self.outbox = Reference(), Outbox()
        self.kept, self.buckets = KeptUploads(), Buckets()
        self.told_again: dict[str, int] = {}
        self.claims: list[tuple[Claim, Job]] = []
        self.attempts: list[tuple[DueDelivery, Delivery]] = []
        self.broker: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.heard: dict[tuple[str, int], list[Event]] = {}
        self.final: dict[tuple[Job, int], dict[str, str]] = {}
        self.deleted: dict[str, Job] = {}
        self.names = self.checked = 0

    @property
    def now(self) -> int:
        return self.clock.now_ms

    def name(self) -> str:
        """Names in order, so that what comes in one millisecond has the same order in every run."""
        self.names += 1
        return f"{self.names:06d}"

    def job(self, pick: int) -> Job:
        """Any job that was accepted, also one whose retention is over."""
        jobs = list(self.jobs.jobs.values())
        return jobs[pick % len(jobs)]

    def tell(self) -> None:
        """Ends of jobs come to the outbox."""
        for end in self.jobs.ended:
            self.outbox.tell(end)
        self.jobs.ended.clear()

    def final_states_stay(self) -> None:
        """A job that has ended does not change in anything, unless its client tries it again."""
        for job in self.jobs.jobs.values():
            record = self.content.hash(f"job:{job.id}")
            if job.kept(self.now) and not job.open:
                ended = {name: value for name, value in record.items() if name[0] != "s" or not name[1:].isdigit()}
                assert self.final.setdefault((job, job.round), ended) == ended, "a final job changed"

    @invariant()
    def the_store_holds_what_follows(self) -> None:
        self.place.steps += 1
        self.tell()
        self.content = self.look()
        recount(self.content, self.jobs, self.outbox, self.kept, self.now)
        nothing_names(self.content, self.deleted)
        self.final_states_stay()
        self.checked = self.trace.calls

"""Jobs as the reference of the state machine sees them: a picture, a job, an end. Parts of `reference_jobs.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from shared.schema import TERMINAL, Counts, JobSpec, Status


@dataclass
class Picture:
    """One picture: waits (and then perhaps in `Job.returned`), is in hand until `lease_ms`, or is over.

    Attributes:
        upload: name of its bytes; `shared` with a replay: then no end of one of the two takes them from the other.
        claims: its fence. `no_attempts`: claims that do not count as attempts.
    """

    upload: str
    digest: str | None = None
    shared: bool = False
    state: Literal["waits", "held", "ok", "bad", "gone"] = "waits"
    claims: int = 0
    no_attempts: int = 0
    lease_ms: int = 0

    @property
    def attempts(self) -> int:
        return self.claims - self.no_attempts

    @property
    def kept(self) -> bool:
        """Its owner keeps the bytes for several jobs: none of them takes them from the others."""
        return self.upload.startswith("upk_")


@dataclass(eq=False)
class Job:
    """One accepted job; an id that is used again makes another one. `told`: which ends its webhook hears of, at `url`.

    Attributes:
        same: the fingerprint of a request whose client chose the id. `era`: what its fences begin after, in us.
        order: indexes in the order of their results; None where a retry took the result back.
    """

    id: str
    owner: str
    model: str
    score: int
    created_ms: int
    deadline_ms: int
    retain_ms: int
    pictures: list[Picture]
    spec: JobSpec
    told: tuple[str, ...] = ()
    url: str = ""
    draw: bool = False
    same: str | None = None
    era: int = 0
    status: Status = "queued"
    started: bool = False
    begun: int = 0
    returned: list[int] = field(default_factory=list)
    order: list[int | None] = field(default_factory=list)
    ended_ms: int | None = None
    round: int = 0

    @property
    def open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def waiting(self) -> int:
        return self.count("waits")

    def count(self, state: str) -> int:
        return sum(picture.state == state for picture in self.pictures)

    def counts(self) -> Counts:
        """As clients see them."""
        gone = self.count("gone")
        return Counts(
            total=len(self.pictures), queued=self.waiting, running=self.count("held"), succeeded=self.count("ok"),
            failed=self.count("bad"), canceled=gone if self.status == "canceled" else 0,
            expired=gone if self.status == "expired" else 0,
        )  # fmt: skip

    def kept(self, now_ms: int) -> bool:
        return self.ended_ms is None or now_ms <= self.ended_ms + self.retain_ms


@dataclass(frozen=True)
class End:
    """A job reached a final state."""

    job: Job
    event: str
    round: int
    at_ms: int

"""What the store promises about jobs, written once more in plain Python: the reference for the scripts.

In come the same steps, out goes what each has to answer; beside that, the state in which every job has to be then.
Written from docs/architecture.md and the decisions, not from the scripts: no keys, no counters, everything is counted
anew from the pictures. Knows neither server nor webhooks; whoever wants to hear of ends gets them in `Reference.ended`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from shared.schema import Status
from tests.shared.machine.reference_records import End, Job, Picture
from tests.shared.machine.reference_turns import Tokens, Turns

MAX_ATTEMPTS = 3
KEY_MS = 86_400_000
UPLOAD_KEEP_MS = 30_000
MINUTE_MS = 60_000


class Reference:
    """All jobs that were accepted and not deleted, and what is about them: turns, tokens, keys, notes, uploads."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.ended: list[End] = []
        self.done: Counter[str] = Counter()
        self.keys: dict[tuple[str, str], tuple[str, Job, int]] = {}
        self.notes: dict[tuple[str, str, str], tuple[str, int, int]] = {}
        self.uploads: dict[str, int] = {}
        self.elsewhere: set[str] = set()
        self.deleted: set[str] = set()
        self.dead: dict[tuple[str, int], int] = {}
        self.turns, self.tokens = Turns(), Tokens()
        self.wary_ms = 0
        self.swept_ms: int | None = None
        self.watched_ms = 0

    # -- looking ---------------------------------------------------------------------------------------------------

    def kept(self, id: str, now_ms: int, owner: str = "") -> Job | None:
        job = self.jobs.get(id)
        return job if job and job.kept(now_ms) and owner in ("", job.owner) else None

    def open_jobs(self, *, owner: str | None = None, model: str | None = None) -> list[Job]:
        return [
            job for job in self.jobs.values()
            if job.open and (owner is None or job.owner == owner) and (model is None or job.model == model)
        ]  # fmt: skip

    def waiting(self, *, owner: str | None = None, model: str | None = None) -> int:
        return sum(job.waiting for job in self.open_jobs(owner=owner, model=model))

    def queue(self, model: str, owner: str) -> list[Job]:
        """Jobs with pictures that wait, the next one first."""
        jobs = [job for job in self.open_jobs(owner=owner, model=model) if job.waiting]
        return sorted(jobs, key=lambda job: (job.score, job.id))

    def stored(self, upload: str, now_ms: int) -> bool:
        return now_ms <= self.uploads.get(upload, -1)

    # -- clients ---------------------------------------------------------------------------------------------------

    def accept(
        self, job: Job, *, key: tuple[str, str] | None, cached: bool = False, bytes_ms: int | None = None
    ) -> int:
        """A new job that nothing stands against. Returns the tokens to publish. `bytes_ms`: how long bytes that came
        with it live."""
        now_ms = job.created_ms
        assert self.kept(job.id, now_ms) is None
        self.dead = {one: at for one, at in self.dead.items() if one[0] != job.id}
        for index in range(len(job.pictures)):
            self.uploads.pop(f"drawn_{job.id}_{index}", None)
        self.jobs[job.id] = job
        self.done[f"accepted:{job.model}"] += 1
        if key:
            self.keys[job.owner, key[0]] = (key[1], job, now_ms + KEY_MS)
        if bytes_ms is not None:
            self.uploads |= {picture.upload: now_ms + bytes_ms for picture in job.pictures if not picture.kept}
        if not cached:
            self.turns.comes(job.model, job.owner)
            return self.due_tokens(job.model, now_ms)
        for index, picture in enumerate(job.pictures):
            picture.state = "ok"
            job.order.append(index)
        job.started, job.begun = True, len(job.pictures)
        self.done[f"pictures:{job.model}:cached"] += len(job.pictures)
        self._end(job, "succeeded", now_ms)
        return 0

    def cancel(self, id: str, owner: str, now_ms: int) -> str:
        job = self.kept(id, now_ms, owner)
        if job is None:
            return ""
        if not job.open:
            return job.status
        self._end(job, "canceled", now_ms)
        return "ended"

    def retry(self, job: Job, score: int, deadline_ms: int, keep_ms: int, now_ms: int) -> int:
        """Of a job that ended without success of all and whose bytes are there. Returns the tokens to publish."""
        again = [index for index, picture in enumerate(job.pictures) if picture.state != "ok"]
        for index in again:
            picture = job.pictures[index]
            picture.state, picture.no_attempts = "waits", picture.claims
            self.dead.pop((job.id, index), None)
            self.keep_upload(picture.upload, now_ms, keep_ms)
        for index in range(len(job.pictures)):
            self.keep_upload(f"drawn_{job.id}_{index}", now_ms, keep_ms)
        job.order = [None if index in again else index for index in job.order]
        job.returned = [index for index in again if index < job.begun]
        job.status, job.started, job.ended_ms, job.round = "queued", False, None, job.round + 1
        job.score, job.deadline_ms = score, deadline_ms
        self.done[f"retried:{job.model}"] += 1
        self.turns.comes(job.model, job.owner)
        return self.due_tokens(job.model, now_ms)

    def delete(self, job: Job, now_ms: int) -> set[str]:
        """Returns which of its bytes are not in the store."""
        if job.open:
            self._end(job, "canceled", now_ms)
        del self.jobs[job.id]
        names = {picture.upload for picture in job.pictures if not picture.kept}
        if job.draw:
            names |= {f"drawn_{job.id}_{index}" for index in range(len(job.pictures))}
        self.deleted |= names
        away = {name for name in names if not self.stored(name, now_ms)}
        for name in names:
            self.uploads.pop(name, None)
        self.dead = {one: at for one, at in self.dead.items() if one[0] != job.id}
        self.notes = {name: note for name, note in self.notes.items() if note[0] != job.id}
        self.keys = {name: made for name, made in self.keys.items() if made[1] is not job}
        return away

    def keep_upload(self, name: str, now_ms: int, keep_ms: int) -> None:
        """Bytes that are there live at least so long."""
        if self.stored(name, now_ms):
            self.uploads[name] = max(self.uploads[name], now_ms + keep_ms)

    # -- workers ---------------------------------------------------------------------------------------------------

    def claim(self, model: str, most: int, lease_ms: int, now_ms: int) -> tuple[Job, list[int]] | None:
        while True:
            owners = {job.owner for job in self.open_jobs(model=model) if job.waiting}
            if not owners:
                return None
            owner = self.turns.first(model, owners)
            job = self.queue(model, owner)[0]
            if job.deadline_ms <= now_ms:
                self._end(job, "expired", now_ms)
                continue
            if job.returned:
                indexes = [job.returned.pop(0)]
            else:
                count = max(1, min(most, math.ceil((len(job.pictures) - job.begun) / 8)))
                indexes = list(range(job.begun, job.begun + count))
                job.begun += count
            for index in indexes:
                picture = job.pictures[index]
                assert picture.state == "waits"
                if picture.claims == 0:
                    picture.claims = picture.no_attempts = job.era
                picture.state, picture.lease_ms = "held", now_ms + lease_ms
                picture.claims += 1
            job.status, job.started = "running", True
            self.turns.took(model, owner, len(indexes))
            return job, indexes

    def holds(self, job: Job, index: int, fence: int, now_ms: int) -> Picture | None:
        """The picture, where this claim may still write. A lease that is over counts until somebody took it back."""
        if self.kept(job.id, now_ms) is not job or not job.open:
            return None
        picture = job.pictures[index]
        return picture if picture.state == "held" and picture.claims == fence else None

    def finish(self, job: Job, index: int, fence: int, fine: bool, now_ms: int) -> Status | None:
        picture = self.holds(job, index, fence, now_ms)
        if not picture:
            return None
        if fine and picture.upload in self.uploads and not (picture.shared or picture.kept):
            self.uploads[picture.upload] = min(self.uploads[picture.upload], now_ms + UPLOAD_KEEP_MS)
        if fine and picture.digest:
            self.notes[job.owner, job.model, picture.digest] = (job.id, index, now_ms + job.retain_ms)
        return self._commit(job, index, "ok" if fine else "bad", now_ms)

    def hand_back(self, held: Iterable[tuple[Job, int, int]], now_ms: int) -> int:
        count = 0
        for job, index, fence in held:
            picture = self.holds(job, index, fence, now_ms)
            if picture:
                picture.no_attempts += 1
                self._put_back(job, index)
                count += 1
        return count

    def crashed(self, job: Job, index: int, fence: int, now_ms: int) -> str | None:
        return self._attempt_failed(job, index, now_ms) if self.holds(job, index, fence, now_ms) else None

    def sweep(self, most: int, grace_ms: int, patience_ms: int, now_ms: int) -> tuple[int, int, int, bool]:
        """Returns (requeued, poisoned, expired, whether it stopped at its bound)."""
        if self.swept_ms is not None and now_ms - self.swept_ms > patience_ms:
            self.watched_ms = now_ms
        self.swept_ms = now_ms
        overdue = self._overdue(now_ms)[:most] if now_ms >= self.watched_ms + grace_ms else []
        again = [self._attempt_failed(self.jobs[id], index, now_ms) == "again" for id, index in overdue]
        late = sorted((job.deadline_ms, job.id) for job in self.open_jobs() if job.deadline_ms <= now_ms)[:most]
        for _, id in late:
            self._end(self.jobs[id], "expired", now_ms)
        return sum(again), len(again) - sum(again), len(late), most in (len(overdue), len(late))

    def _overdue(self, now_ms: int) -> list[tuple[str, int]]:
        """Pictures whose leases are over, the oldest first."""
        held = [
            (picture.lease_ms, f"{job.id}/{index}", (job.id, index))
            for job in self.open_jobs()
            for index, picture in enumerate(job.pictures)
            if picture.state == "held" and picture.lease_ms <= now_ms
        ]
        return [where for _, _, where in sorted(held)]

    def due_tokens(self, model: str, now_ms: int) -> int:
        return self.tokens.due(model, self.waiting(model=model), now_ms)

    # -- the ends --------------------------------------------------------------------------------------------------

    def _attempt_failed(self, job: Job, index: int, now_ms: int) -> str:
        self.wary_ms = now_ms + MINUTE_MS
        if job.pictures[index].attempts < MAX_ATTEMPTS:
            self._put_back(job, index)
            return "again"
        self.dead[job.id, index] = now_ms
        return self._commit(job, index, "bad", now_ms)

    def _put_back(self, job: Job, index: int) -> None:
        job.pictures[index].state = "waits"
        job.returned.append(index)
        self.turns.comes(job.model, job.owner)

    def _commit(self, job: Job, index: int, kind: Literal["ok", "bad"], now_ms: int) -> Status:
        job.pictures[index].state = kind
        job.order.append(index)
        self.done[f"pictures:{job.model}:{kind}"] += 1
        if job.count("ok") + job.count("bad") == len(job.pictures):
            self._end(job, "succeeded" if job.count("ok") else "failed", now_ms)
        return job.status

    def _end(self, job: Job, status: Status, now_ms: int) -> None:
        assert job.open
        for picture in job.pictures:
            if picture.state in ("waits", "held"):
                picture.state = "gone"
        job.status, job.ended_ms, job.returned = status, now_ms, []
        self.done[f"jobs:{job.model}:{status}"] += 1
        if f"job.{status}" in job.told:
            self.ended.append(End(job, f"job.{status}", job.round, now_ms))

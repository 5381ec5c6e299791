"""Pages of jobs, newest first, filtered. Looks at a bounded number of jobs a page; the cursor goes on from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import FieldError, InvalidRequest
from shared.schema import Status
from shared.store import AsyncJobStore
from shared.views import Snapshot, page, view

CURSOR = r"^\d{1,15}\.(job_[0-9A-Za-z_-]{1,64})?$"
SCAN = 1000
"""Jobs looked at for one page of a filtered list."""
_CHUNK = 100
METADATA = "metadata."
MOST_METADATA = 16

Cursor = tuple[int, str]
"""Created ms and id of the last job seen; an empty id stands before all jobs of that millisecond."""


@dataclass(frozen=True)
class Filter:
    """Which jobs; None lets all through."""

    status: Status | None = None
    model: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def lets_through(self, snapshot: Snapshot) -> bool:
        """Whether status, model and each pair of metadata fit (the times bound the walk itself). `name` fits every
        version of it; `name@version` the jobs that are bound to it, and those that it answered last.
        """
        model = snapshot.view.model
        fits = self.model in (None, model.name, f"{model.name}@{model.version}")
        has = snapshot.view.metadata.items() >= self.metadata.items()
        return fits and has and self.status in (None, snapshot.view.status)


def metadata_filter(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """`metadata.camera=7` -> {"camera": "7"}. Raises InvalidRequest: no key, one twice, or more than a job can have."""
    found: dict[str, str] = {}
    for name, value in query:
        if not name.startswith(METADATA):
            continue
        key = name.removeprefix(METADATA)
        if not key or key in found or len(found) == MOST_METADATA:
            reason = f"metadata.KEY=value, each key once, {MOST_METADATA} at most"
            raise InvalidRequest(f"Correct {name[:80]}: {reason}.", errors=(FieldError(name[:80], reason),))
        found[key] = value
    return found


async def find(
    store: AsyncJobStore, owner: str, wanted: Filter, after: str | None, limit: int
) -> tuple[list[Snapshot], str | None]:
    """Up to `limit` jobs of one owner from just after the cursor, and the cursor for the next page (None: no more)."""
    oldest = wanted.created_after.timestamp() * 1000 if wanted.created_after else 0.0
    cursor = _start(after, wanted.created_before)
    found: list[Snapshot] = []
    looked = 0
    while looked < SCAN:
        rows = await store.run(page(before=cursor, count=_CHUNK, owner=owner))
        snapshots = await store.run(view([job for job, _ in rows], inline_results=0, owner=owner)) if rows else []
        ends = len(rows) < _CHUNK
        for (job, created), snapshot in zip(rows, snapshots, strict=True):
            if created <= oldest:
                return found, None
            cursor, looked = (created, job), looked + 1
            if snapshot and wanted.lets_through(snapshot):
                found.append(snapshot)
                if len(found) == limit:
                    return found, None if ends and job == rows[-1][0] else _written(cursor)
        if ends:
            return found, None
    return found, _written(cursor)


def _start(after: str | None, before: datetime | None) -> Cursor | None:
    """Where the walk begins: after the client's cursor, or before the named time, whichever is older."""
    cursor: Cursor | None = None
    if after is not None:
        created, _, job = after.partition(".")
        cursor = (int(created), job)
    if before is not None:
        bound = int(before.timestamp() * 1000)
        if cursor is None or bound < cursor[0]:
            cursor = (bound, "")
    return cursor


def _written(cursor: Cursor | None) -> str | None:
    return f"{cursor[0]}.{cursor[1]}" if cursor else None

"""Every look at the store, as calls, and its replies as clients see them. Changes nothing.

`owner` says who looks: another's job is as if it were not there. '' is the service itself, and sees all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.recall import NotedUpload
from shared.reports import Description, Fleet, ServedModel, WorkerReport
from shared.schema import (
    DEFAULT_OWNER,
    TERMINAL,
    Counts,
    JobSpec,
    JobView,
    ModelVersion,
    PictureResult,
    PictureStatus,
    S3Source,
    StoredSource,
    UploadSource,
    UrlSource,
    rfc3339,
)
from shared.store import WORKER_TTL_MS, Call


@dataclass(frozen=True)
class Snapshot:
    """One job at one moment. `version` counts its changes, so an equal version means an equal job.

    `ended_ms`: epoch ms of its end; 0 before.
    """

    spec: JobSpec
    version: int
    view: JobView
    ended_ms: int = 0

    @property
    def final(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.view.status in TERMINAL

    @cached_property
    def written(self) -> dict[str | None, str]:
        """What `shown_json` made of it already, by base URL."""
        return {}


def links(base_url: str | None, snapshot: Snapshot) -> dict[str, str]:
    """Where to go on from here."""
    own = f"{base_url or ''}/jobs/{snapshot.spec.id}"
    found = {"self": own, "events": f"{own}/events", "results": f"{own}/results"}
    if not snapshot.final:
        found["cancel"] = f"{own}/cancel"
    elif snapshot.view.counts.succeeded < snapshot.view.counts.total:
        found["retry"] = f"{own}/retry"
    if snapshot.final and snapshot.view.counts.succeeded:
        found["export"] = f"{own}/export?format={{format}}"
    if snapshot.spec.options.draw:
        found["pictures"] = f"{own}/pictures/{{index}}?draw=true"
    return found


def shown(snapshot: Snapshot, base_url: str | None) -> JobView:
    """The job with its links."""
    return snapshot.view.model_copy(update={"links": links(base_url, snapshot)})


def shown_json(snapshot: Snapshot, base_url: str | None) -> str:
    """The same as JSON, written once for all who share the snapshot."""
    if base_url not in snapshot.written:
        snapshot.written[base_url] = shown(snapshot, base_url).model_dump_json()
    return snapshot.written[base_url]


@dataclass(frozen=True)
class Backlog:
    """What waits for one model: pictures, the jobs that they belong to, and the age of the job at the head."""

    pictures: int
    jobs: int
    oldest_s: float


def view(ids: Sequence[str], *, inline_results: int, owner: str = "") -> Call[list[Snapshot | None]]:
    """The jobs as they are now; None for those that are not (or no longer) there."""
    return Call("view", (owner, inline_results, *ids), lambda reply: [_snapshot(row) if row else None for row in reply])


def results(snapshot: Snapshot, first: int, count: int) -> Call[list[PictureResult]]:
    """Up to `count` pictures of a job from index `first` on, as `snapshot` of the job would show them."""
    status, final = snapshot.view.status, snapshot.final
    return Call(
        "results",
        (snapshot.spec.id, first, count, snapshot.spec.owner),
        lambda reply: [_picture(first + k, status, final, *entry) for k, entry in enumerate(reply)],
    )


def pictures(snapshot: Snapshot, first: int, count: int) -> Call[list[tuple[PictureResult, StoredSource]]]:
    """As `results`, each with where the picture came from."""
    status, final = snapshot.view.status, snapshot.final
    return Call(
        "results",
        (snapshot.spec.id, first, count, snapshot.spec.owner),
        lambda reply: [
            (_picture(first + k, status, final, *entry), read_source(entry[2])) for k, entry in enumerate(reply)
        ],
    )


def page(*, before: tuple[int, str] | None, count: int, owner: str = DEFAULT_OWNER) -> Call[list[tuple[str, int]]]:
    """Up to `count` (job id, created ms) of one owner, newest first, from just after `before` (created ms, job id)."""
    created, job = before if before else ("+inf", "")
    return Call("page", (created, job, count, owner), lambda reply: [(name.decode(), int(ms)) for name, ms in reply])


def backlog() -> Call[dict[str, Backlog]]:
    """What waits, by model."""
    return Call(
        "backlog", (), lambda reply: {name.decode(): Backlog(n, jobs, age / 1000) for name, n, jobs, age in reply}
    )


def fleet() -> Call[Fleet]:
    """The live workers, and what was last heard of every model."""

    def read(reply: list[list[bytes]]) -> Fleet:
        live = tuple(WorkerReport.model_validate_json(text) for text in reply[0])
        heard = (ServedModel.model_validate_json(text) for text in reply[1])
        return Fleet(live, {model.name: model for model in heard})

    return Call("fleet", (WORKER_TTL_MS,), read)


def descriptions(references: Sequence[str]) -> Call[dict[str, Description]]:
    """What the store holds of these, each `name@version`, by reference."""

    def read(reply: list[bytes | None]) -> dict[str, Description]:
        found = zip(references, reply, strict=True)
        return {name: Description.model_validate_json(text) for name, text in found if text}

    return Call("descriptions", tuple(references), read)


def workers() -> Call[list[WorkerReport]]:
    """The live workers."""
    return Call("fleet", (WORKER_TTL_MS,), lambda reply: [WorkerReport.model_validate_json(text) for text in reply[0]])


def stats() -> Call[dict[str, int]]:
    """Counters since the store began:
    `accepted:<model>`, `retried:<model>`, `jobs:<model>:<status>`, `pictures:<model>:ok|bad`, ...
    """
    return Call("stats", (), lambda reply: {reply[k].decode(): int(reply[k + 1]) for k in range(0, len(reply), 2)})


def open_jobs(counters: Mapping[str, int]) -> dict[str, int]:
    """Jobs accepted or tried again and not ended, by reference, from what `stats` gives."""
    found: dict[str, int] = {}
    for name, count in counters.items():
        kind, _, rest = name.partition(":")
        if kind in ("accepted", "retried"):
            found[rest] = found.get(rest, 0) + count
        elif kind == "jobs":
            reference = rest.rpartition(":")[0]
            found[reference] = found.get(reference, 0) - count
    return {reference: count for reference, count in found.items() if count > 0}


def source_of(job: str, index: int, owner: str = "") -> Call[StoredSource | None]:
    """Where picture `index` of the job came from; None when there is no such job or picture."""
    return Call("source_of", (job, index, owner), lambda reply: read_source(reply) if reply else None)


def blob(name: str) -> Call[bytes | None]:
    """A stored picture's bytes; None when they are no longer kept."""
    return Call("blob", (name,), lambda reply: reply)


_SOURCE_KINDS: dict[str, type[StoredSource]] = {"url": UrlSource, "s3": S3Source, "upload": NotedUpload}


def read_source(text: bytes) -> StoredSource:
    """A source as the store keeps it: JSON whose first key tells the kind."""
    kind = text[2 : text.index(b'"', 2)].decode()
    source = _SOURCE_KINDS[kind].model_validate_json(text)
    return UploadSource(upload=source.upload, id=source.id) if isinstance(source, NotedUpload) else source


def _time(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _snapshot(row: list[Any]) -> Snapshot:
    doc, status_raw, created_raw, started, finished_raw, deadline, *numbers, by, tries, rank, pictures, queued = row
    created, finished = int(created_raw), _time(finished_raw)
    retain, first, returned, run, ok, bad, lost, version = map(int, numbers)
    spec = JobSpec.model_validate_json(doc)
    status = status_raw.decode()
    final = status in TERMINAL
    counts = Counts(
        total=spec.total,
        queued=0 if final else spec.total - first + returned,
        running=run,
        succeeded=ok,
        failed=bad,
        canceled=lost if status == "canceled" else 0,
        expired=lost if status == "expired" else 0,
    )
    results = tuple(_picture(k, status, final, *entry) for k, entry in enumerate(pictures))
    view = JobView.model_construct(
        id=spec.id,
        status=status,
        model=ModelVersion.model_validate_json(by) if by else _asked(spec.model),
        created_at=rfc3339(created) or "",
        queued_at=rfc3339(_time(queued) or created) or "",
        started_at=rfc3339(_time(started)),
        finished_at=rfc3339(finished),
        expires_at=rfc3339(finished + retain * 1000) if finished is not None else None,
        deadline_at=rfc3339(int(deadline)) or "",
        attempts=int(tries),
        queue_position=None if rank is None else int(rank) + 1,
        counts=counts,
        results=results or None,
        metadata=spec.metadata,
        links={},
    )
    return Snapshot(spec, version, view, finished or 0)


def _asked(reference: str) -> ModelVersion:
    name, _, version = reference.partition("@")
    return ModelVersion(name=name, version=version or None)


def _picture(
    index: int, job_status: str, final: bool, result: bytes | None, lease: bytes | None, source: bytes
) -> PictureResult:
    if result:
        return PictureResult.model_validate_json(result)
    status: PictureStatus = job_status if final else ("running" if lease else "queued")  # type: ignore[assignment]
    return PictureResult(index=index, id=json.loads(source).get("id"), status=status)

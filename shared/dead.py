"""The dead-letter list: pictures that ended their workers or decoders until no attempt was left. Looked at, replayed.

An entry lives as long as its job, so `retain_s` bounds it. A replay is a new job, for final states never change: its id
comes from the dead picture's claim, and accepting the same id again changes nothing. So a replay that broke off, or was
asked for twice, is one job.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel

from shared.schema import JobSpec, PictureResult, S3Source, StoredSource, UploadSource, UrlSource, rfc3339
from shared.steps import blob_ttl_s
from shared.store import Call
from shared.views import read_source

_KINDS: dict[type[StoredSource], Literal["url", "s3", "upload"]] = {
    UrlSource: "url",
    S3Source: "s3",
    UploadSource: "upload",
}


class DeadLetter(BaseModel):
    """One picture that was given up. The source's kind alone: addresses may hold secrets.

    Attributes:
        id: the client's own name for the picture.
        reason: how the last attempt ended.
    """

    job: str
    index: int
    id: str | None
    source: Literal["url", "s3", "upload"]
    model: str
    attempts: int
    reason: str
    died_at: str


def dead_letters(*, before: tuple[int, str, int] | None, count: int) -> Call[list[tuple[int, DeadLetter]]]:
    """Up to `count`, each with the epoch ms of its death, newest first, from just after `before` (died ms, job id,
    index).
    """
    died, member = (before[0], f"{before[1]}/{before[2]}") if before else ("+inf", "")
    return Call("dead", (died, member, count), lambda reply: [(row[1], _letter(*row)) for row in reply])


def dead_letter(job: str, index: int) -> Call[tuple[JobSpec, StoredSource] | None]:
    """The job for the picture's replay, and where the picture came from; None when it is not in the list."""
    return Call(
        "dead_letter",
        (job, index),
        lambda reply: (
            (_again(JobSpec.model_validate_json(reply[0]), index, int(reply[2])), read_source(reply[1]))
            if reply
            else None
        ),
    )


def _again(spec: JobSpec, index: int, claims: int) -> JobSpec:
    """The new job for one dead picture of a job: the same but for its id and its size.

    A picture that was tried again with its job and died once more has more claims, and so another replay.
    """
    digest = hashlib.sha256(f"{spec.id}/{index}/{claims}".encode()).hexdigest()
    return spec.model_copy(update={"id": f"job_replay_{digest[:32]}", "total": 1})


def take_off(job: str, index: int, source: StoredSource, new: JobSpec) -> Call[bool]:
    """After `new` was accepted: the entry leaves the list, and an upload lives on. Reads as whether it was there."""
    upload = source.upload if isinstance(source, UploadSource) else ""
    return Call("take_off", (job, index, upload, blob_ttl_s(new), new.id), bool)


def _letter(member: bytes, died_ms: int, model: bytes, source: bytes, result: bytes) -> DeadLetter:
    job, _, index = member.decode().rpartition("/")
    found, came = PictureResult.model_validate_json(result), read_source(source)
    return DeadLetter(
        job=job,
        index=int(index),
        id=came.id,
        source=_KINDS[type(came)],
        model=model.decode(),
        attempts=found.attempts,
        reason=found.error.detail if found.error else "",
        died_at=rfc3339(died_ms) or "",
    )

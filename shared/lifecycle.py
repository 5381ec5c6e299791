"""What becomes of a job beside its way through the queue: tried again after its end, deleted.

A retry is the one step that takes a job out of a final state; it counts rounds, so that what belongs to one end is told
from what belongs to the next. A deleted job leaves no key. Why it is so: docs/decisions/0021-retry-and-delete.md.
"""

from __future__ import annotations

from typing import Any

from shared.errors import JobNotFinished, NothingToRetry, SpotterError, UploadsGone
from shared.keys import UNLIMITED, Limits
from shared.refusals import no_such_job, refusal
from shared.schema import Claim, JobSpec
from shared.steps import AGE_BOOST_MS, MOST_TOKENS, Accepted, blob_ttl_s
from shared.store import Call

_REFUSED_BY_BOUNDS = (-1, -2, -3, -4)


def retry(
    spec: JobSpec, *, queue_limit: int, limits: Limits = UNLIMITED, elsewhere: bool = False
) -> Call[Accepted | list[str]]:
    """Let the pictures of an ended job that did not succeed wait again, under the same bounds as a new job.

    Args:
        elsewhere: uploads that are not in the store were found in S3.

    Reads as what `accept` says, or as the names of uploads that are not in the store: then nothing was changed.

    Raises (when run):
        RateLimited, QuotaExceeded, QueueFull: as `accept`.
        JobNotFound, JobNotFinished, NothingToRetry.
    """

    def read(reply: list[Any]) -> Accepted | list[str]:
        if reply[0] == -8:
            return [upload.decode() for _, upload in reply[1:]]
        if reply[0] < 0:
            raise refusal(spec, limits, *reply) if reply[0] in _REFUSED_BY_BOUNDS else _refusal(spec.id, reply[0])
        return Accepted(reply[1], reply[2] if reply[2] >= 0 else None)

    return Call(
        "retry",
        (
            spec.id, spec.owner, MOST_TOKENS, limits.rate, limits.burst, limits.open_jobs, limits.waiting, queue_limit,
            AGE_BOOST_MS[spec.priority], spec.deadline_s, blob_ttl_s(spec), int(elsewhere),
        ),
        read,
    )  # fmt: skip


def _refusal(job: str, why: int) -> SpotterError:
    if why == -6:
        return JobNotFinished("The job is under way; cancel it first, or wait for its end.")
    if why == -7:
        return NothingToRetry("Every picture of the job succeeded; send a new job to have them looked at again.")
    return no_such_job(job)


def uploads_gone(count: int) -> UploadsGone:
    """Why a job cannot be tried again although it ended badly."""
    return UploadsGone(f"{count} of the pictures to try again are no longer stored; send them as a new job.")


def delete(job_id: str, owner: str = "", *, leave_record: bool = False) -> Call[list[str] | None]:
    """Leave nothing of a job, or only its record, ended. Reads as the names of its uploads and drawn pictures that were
    not in the store and may be in S3, or None when `owner` has no such job.
    """
    return Call(
        "delete",
        (job_id, owner, int(leave_record)),
        lambda reply: None if reply == 0 else [name.decode() for name in reply],
    )


def keep_drawn(held: Claim, data: bytes) -> Call[bool]:
    """Store the annotated picture of a claim; reads as False, and stores nothing, when its fence is stale."""
    return Call("keep_drawn", (held.job.id, held.index, held.fence, data, blob_ttl_s(held.job)), bool)

"""Why the script that accepts refused a job: its negative answers -> the errors that clients see."""

from __future__ import annotations

import math

from shared.errors import (
    IdempotencyMismatch,
    JobIdTaken,
    JobNotFound,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    SpotterError,
)
from shared.keys import Limits
from shared.schema import JobSpec


def refusal(spec: JobSpec, limits: Limits, why: int, number: int = 0) -> SpotterError:
    """What the negative answers of `accept`, and those of `retry` that are about bounds, mean."""
    if why == -1:
        return QueueFull(f"{number} pictures are waiting for {spec.model} already; try again later.", retry_after_s=10)
    if why == -2:
        again_s = math.ceil(number / 1000)
        text = f"{limits.rate:g} jobs a second and {limits.burst} at once are agreed; send this one again later."
        return RateLimited(text, retry_after_s=again_s, headers=limits.headers(0, again_s))
    if why == -3:
        return QuotaExceeded(f"{number} of your jobs are open already; wait for their ends.", retry_after_s=5)
    if why == -4:
        return QuotaExceeded(f"{number} of your pictures are waiting already; send more later.", retry_after_s=5)
    if why == -7:
        return IdempotencyMismatch("Choose another Idempotency-Key for another job, or repeat the first one's body.")
    return JobIdTaken(f"The id {spec.id} belongs to another job; choose another one, or repeat that job's request.")


def no_such_job(job: str) -> JobNotFound:
    """The same whether it never was, is no longer kept, or is somebody else's."""
    return JobNotFound(f"There is no job {job}, or its results are no longer kept.")

"""Jobs as the store tests send them."""

from __future__ import annotations

from typing import Any

from shared.ids import job_id
from shared.schema import JobSpec, ModelVersion, Options, PictureFailure, PictureResult, UrlSource
from shared.steps import accept
from shared.store import Call

BY = ModelVersion(name="m", version="1", sha256="0" * 64)


def text(name: Any) -> str:
    """What the client gives back as bytes."""
    return str(name, "utf-8")


def spec(total: int = 1, **changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "id": job_id(),
        "model": "m",
        "options": Options(),
        "priority": "normal",
        "total": total,
        "deadline_s": 3600,
        "retain_s": 600,
    }
    return JobSpec(**(fields | changes))


def accepting(job: JobSpec, **options: Any) -> Call[int]:
    sources = [UrlSource(url=f"https://example.com/{k}.jpg", id=f"mine-{k}") for k in range(job.total)]
    return accept(job, sources, **({"queue_limit": 100_000} | options))


def good(index: int = 0) -> PictureResult:
    return PictureResult(index=index, status="succeeded", attempts=1, detections=())


def bad(index: int = 0) -> PictureResult:
    failure = PictureFailure(code="invalid_image", title="Not a readable picture", detail="It is not a picture.")
    return PictureResult(index=index, status="failed", attempts=1, error=failure)

"""Jobs as the store tests send them."""

from __future__ import annotations

from typing import Any

import redis

from shared.ids import job_id
from shared.schema import Claim, JobSpec, ModelVersion, Options, PictureFailure, PictureResult, UrlSource
from shared.steps import Accepted, accept, claim, sweep
from shared.store import PREFIX, Call, JobStore
from shared.views import Snapshot, view

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


def accepting(job: JobSpec, **options: Any) -> Call[Accepted]:
    sources = [UrlSource(url=f"https://example.com/{k}.jpg", id=f"mine-{k}") for k in range(job.total)]
    return accept(job, sources, **({"queue_limit": 100_000} | options))


def good(index: int = 0) -> PictureResult:
    return PictureResult(index=index, status="succeeded", attempts=1, detections=())


def bad(index: int = 0) -> PictureResult:
    failure = PictureFailure(code="invalid_image", title="Not a readable picture", detail="It is not a picture.")
    return PictureResult(index=index, status="failed", attempts=1, error=failure)


LEASE_S = 30.0


def seen(store: JobStore, job: str) -> Snapshot:
    (snapshot,) = store.run(view([job], inline_results=100))
    assert snapshot is not None
    return snapshot


def take(store: JobStore, most: int = 16) -> list[Claim]:
    return store.run(claim("m", most, LEASE_S))


def lose_leases(client: redis.Redis) -> None:
    """As if every worker had been silent for longer than its lease."""
    for member in client.zrange(PREFIX + "leases", 0, -1):
        client.zadd(PREFIX + "leases", {text(member): 0})


def swept(store: JobStore, attempts: int = 3) -> Any:
    return store.run(sweep(most=100, max_attempts=attempts))


def lose_deliveries(client: redis.Redis) -> None:
    """As if whoever had webhooks in hand had been silent for longer than its lease, and every wait were over."""
    for endpoint in client.zrange(PREFIX + "hooks", 0, -1):
        client.delete(PREFIX + "taken:" + text(endpoint))
        waiting = PREFIX + "hooks:" + text(endpoint)
        client.zadd(waiting, {text(name): 0 for name in client.zrange(waiting, 0, -1)})
        client.zadd(PREFIX + "hooks", {text(endpoint): 0})

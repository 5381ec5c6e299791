"""A job's snapshot -> the HTTP answer: body, links, ETag. The one place that knows how a job looks on the wire."""

from __future__ import annotations

from fastapi import Response

from shared.schema import JobView
from shared.views import Snapshot


def links(base_url: str | None, snapshot: Snapshot) -> dict[str, str]:
    """Where to go on from here."""
    own = f"{base_url or ''}/jobs/{snapshot.spec.id}"
    found = {"self": own}
    if not snapshot.final:
        found["cancel"] = f"{own}/cancel"
    if snapshot.spec.options.draw:
        found["pictures"] = f"{own}/pictures/{{index}}?draw=true"
    return found


def shown(snapshot: Snapshot, base_url: str | None) -> JobView:
    """The job with its links."""
    return snapshot.view.model_copy(update={"links": links(base_url, snapshot)})


def etag(snapshot: Snapshot) -> str:
    """Equal while nothing of the answer changed. Weak: the position in the queue is part, byte order is not."""
    return f'W/"{snapshot.version}-{snapshot.view.queue_position or 0}"'


def job_answer(
    snapshot: Snapshot, base_url: str | None, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The job as JSON with its ETag; a job that is not final says when to look again."""
    sent = {"ETag": etag(snapshot), **(headers or {})}
    if not snapshot.final:
        sent.setdefault("Retry-After", "1")
    return Response(shown(snapshot, base_url).model_dump_json(), status, sent, "application/json")

"""A job's snapshot -> the HTTP answer: body, ETag, and when to look again."""

from __future__ import annotations

import math

from fastapi import Request, Response

from shared.keys import Limits
from shared.steps import Accepted
from shared.views import Snapshot, shown_json


def etag(snapshot: Snapshot, form: str = "spotter") -> str:
    """Equal while nothing of the answer changed. Weak: the position in the queue is part, byte order is not.

    Args:
        form: of the results; one has another tag than the next.
    """
    tag = f"{snapshot.version}-{snapshot.view.queue_position or 0}"
    return f'W/"{tag}"' if form == "spotter" else f'W/"{tag}-{form}"'


def job_answer(
    snapshot: Snapshot, base_url: str | None, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The job as JSON with its ETag; a job that is not final says when to look again."""
    sent = {"ETag": etag(snapshot), **(headers or {})}
    if not snapshot.final:
        sent.setdefault("Retry-After", "1")
    return Response(shown_json(snapshot, base_url), status, sent, "application/json")


def limit_headers(limits: Limits, taken: Accepted) -> dict[str, str]:
    """How many more jobs the owner may send at once; nothing where there is no bound."""
    if taken.left is None:
        return {}
    return limits.headers(taken.left, math.ceil((limits.burst - taken.left) / limits.rate))


def next_link(request: Request, base_url: str | None, path: str, cursor: str) -> str:
    """The header `Link` (RFC 8288) of a page that has a next one: the same question from the cursor on."""
    query = request.url.include_query_params(after=cursor).query
    return f'<{base_url or ""}{path}?{query}>; rel="next"'

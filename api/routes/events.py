"""What happens to a job, as Server-Sent Events. Contract: docs/api.md."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header

from api.events import MEDIA_TYPE, EventStream
from api.openapi import problems
from api.scopes import Reader
from api.state import Shared
from shared.events import START, Position

router = APIRouter(tags=["jobs"])

_STREAM: dict[str, Any] = {
    "description": "the events, until the job has ended",
    "content": {
        MEDIA_TYPE: {
            "schema": {"type": "string"},
            "example": 'event: running\nid: 0-0-r\ndata: {"id":"job_01J...","status":"running","at":"..."}\n\n',
        }
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _STREAM,
    204: {"description": "the listener has seen the end already"},
    **problems(404, 429),
}


@router.get("/jobs/{job}/events", status_code=200, responses=_ANSWERS, response_class=EventStream)
async def events(
    state: Shared, caller: Reader, job: str, last_event_id: Annotated[str | None, Header()] = None
) -> EventStream:
    """`queued`, `running`, a `picture` with its result for each, and `succeeded`, `failed`, `canceled` or `expired`.

    `Last-Event-ID` goes on behind that event; one that is none of this job's starts from the beginning.
    """
    seen = Position.read(last_event_id or "") or START
    return EventStream(state.event_looks, state.changes, state.listeners, caller.owner, job, seen)

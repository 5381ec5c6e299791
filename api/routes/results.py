"""A job's results as JSON Lines, streamed: the way to those of a bulk job, whatever its size."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from api.openapi import JOB_ANSWERS
from api.scopes import Reader
from api.state import Shared, State
from shared.views import Snapshot, results

router = APIRouter(tags=["jobs"])

LINES = 200
"""Pictures read at once: some ten kilobytes, and a few milliseconds of this process."""


@router.get("/jobs/{job}/results", responses={404: JOB_ANSWERS[404]}, response_class=StreamingResponse)
async def stream(state: Shared, caller: Reader, job: str) -> StreamingResponse:
    """One picture a line, by index. While the job runs: those that have a result so far."""
    return StreamingResponse(_lines(state, await state.snapshot(job, caller.owner)), media_type="application/x-ndjson")


async def _lines(state: State, snapshot: Snapshot) -> AsyncIterator[str]:
    for first in range(0, snapshot.spec.total, LINES):
        pictures = await state.store.run(results(snapshot, first, LINES))
        yield "".join(
            picture.model_dump_json() + "\n" for picture in pictures if picture.status not in ("queued", "running")
        )

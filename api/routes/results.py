"""A job's results as JSON Lines, streamed: the way to those of a bulk job, whatever its size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.openapi import JOB_ANSWERS
from api.resultpages import MEDIA_TYPE, MOST, result_page
from api.scopes import Reader
from api.state import Shared, State
from shared.views import Snapshot, results

router = APIRouter(tags=["jobs"])

LINES = 200
"""Pictures read at once: some ten kilobytes, and a few milliseconds of this process."""


@router.get("/jobs/{job}/results", responses={404: JOB_ANSWERS[404]}, response_class=StreamingResponse)
async def stream(
    request: Request,
    state: Shared,
    caller: Reader,
    job: str,
    after: Annotated[int | None, Query(ge=0, le=1_000_000_000)] = None,
    limit: Annotated[int | None, Query(ge=1, le=MOST)] = None,
) -> Response:
    """One picture a line, by index. While the job runs: those that have a result so far.

    With `after` or `limit` a page in the order in which results came, and in `Link` the next one for as long as there
    will be more: whoever follows it reads each result once, also while the job runs.
    """
    snapshot = await state.snapshot(job, caller.owner)
    if after is not None or limit is not None:
        return await result_page(request, state, snapshot, after or 0, limit or MOST)
    return StreamingResponse(_lines(state, snapshot), media_type=MEDIA_TYPE)


async def _lines(state: State, snapshot: Snapshot) -> AsyncIterator[str]:
    for first in range(0, snapshot.spec.total, LINES):
        pictures = await state.store.run(results(snapshot, first, LINES))
        yield "".join(
            picture.model_dump_json() + "\n" for picture in pictures if picture.status not in ("queued", "running")
        )

"""A job's results as JSON Lines, streamed: the way to those of a bulk job, whatever its size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.datasets import about, pages
from api.formats import FORMATS, Format, LineFormat
from api.formats.dataset import Entry
from api.openapi import problems
from api.resultpages import MEDIA_TYPE, MOST, ResultStream, result_page
from api.scopes import Reader
from api.state import Shared, State
from shared.errors import FieldError, InvalidRequest
from shared.events import Position
from shared.views import Snapshot, results

router = APIRouter(tags=["jobs"])

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "a picture's result in each line",
        "content": {
            MEDIA_TYPE: {"schema": {"type": "string"}, "example": '{"index":0,"id":null,"status":"succeeded"}\n'}
        },
    },
    **problems(404, 429),
}
LINES = 200
"""Pictures read at once: some ten kilobytes, and a few milliseconds of this process."""


@router.get("/jobs/{job}/results", responses=_ANSWERS, response_class=StreamingResponse)
async def stream(
    request: Request,
    state: Shared,
    caller: Reader,
    job: str,
    after: Annotated[int | None, Query(ge=0, le=1_000_000_000)] = None,
    limit: Annotated[int | None, Query(ge=1, le=MOST)] = None,
    format: LineFormat = "spotter",
    follow: bool = False,
) -> Response:
    """One picture a line, by index. While the job runs: those that have a result so far.

    With `after` or `limit` a page in the order in which results came, and in `Link` the next one for as long as there
    will be more: whoever follows it reads each result once, also while the job runs.
    `?format=`, without these two: each line as another system writes it, with `index` and `id`; a picture without an
    answer has `error` instead.
    With `follow` one answer that stays open: each result as it comes, from `after` on, until the job has ended. It
    counts as a listener.
    """
    if follow:
        _check_alone(follow=True, limit=limit, format=format)
        seen = Position(pictures=after or 0)
        return ResultStream(state.result_looks, state.changes, state.listeners, caller.owner, job, seen)
    snapshot = await state.snapshot(job, caller.owner)
    if after is None and limit is None:
        lines = _lines(state, snapshot) if format == "spotter" else _lines_in(state, snapshot, FORMATS[format])
        return StreamingResponse(lines, media_type=MEDIA_TYPE)
    _check_alone(follow=False, limit=None, format=format)
    return await result_page(request, state, snapshot, after or 0, limit or MOST)


def _check_alone(*, follow: bool, limit: int | None, format: LineFormat) -> None:
    if format != "spotter":
        field = "format"
        reason = f"{'follow is' if follow else 'pages are'} in Spotter's own form only: leave one of them out"
    elif limit is not None:
        field, reason = "limit", "follow has no pages: leave one of them out"
    else:
        return
    raise InvalidRequest(f"Correct {field}: {reason}.", errors=(FieldError(field, reason),))


async def _lines(state: State, snapshot: Snapshot) -> AsyncIterator[str]:
    for first in range(0, snapshot.spec.total, LINES):
        pictures = await state.store.run(results(snapshot, first, LINES))
        yield "".join(
            picture.model_dump_json() + "\n" for picture in pictures if picture.status not in ("queued", "running")
        )


async def _lines_in(state: State, snapshot: Snapshot, form: Format) -> AsyncIterator[str]:
    known = await about(state, snapshot)

    def written(page: list[Entry]) -> str:
        ended = (entry for entry in page if entry.result.status not in ("queued", "running"))
        return "".join(json.dumps(form.among(entry, known)) + "\n" for entry in ended)

    async for page in pages(state, snapshot):
        yield await asyncio.to_thread(written, page)

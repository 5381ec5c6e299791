"""Pages of a job's results in the order in which they came, so that a client who polls reads each one once.

In: a job and a place in that order. Out: JSON Lines and where to go on. By index, and all at once: routes/results.py.
"""

from __future__ import annotations

from fastapi import Request, Response

from api.answers import next_link
from api.state import State
from shared.events import Position, news
from shared.refusals import no_such_job
from shared.schema import PictureResult
from shared.views import Snapshot

MEDIA_TYPE = "application/x-ndjson"
MOST = 200
AGAIN_S = "1"


class PlacedResult(PictureResult):
    """A line of a page. `place`: its number in the order of results, from 1; `after=place` goes on behind it."""

    place: int


async def result_page(request: Request, state: State, snapshot: Snapshot, after: int, limit: int) -> Response:
    """Up to `limit` results from just after place `after`; fewer where they are large.

    `Link: rel="next"` until there is nothing more to come: with `Retry-After` where it is still to be worked out.
    A place that the job never had reads as 0. Raises JobNotFound, StoreUnavailable.
    """
    job = snapshot.spec.id
    (found,) = await state.store.run(news([(job, Position(pictures=after))], most=limit))
    if found is None:
        raise no_such_job(job)
    lines = [
        PlacedResult(**dict(event.data), place=event.id.pictures).model_dump_json()
        for event in found.events
        if isinstance(event.data, PictureResult)
    ]
    headers = {}
    if found.more or not found.ended:
        cursor = str(found.position.pictures)
        headers["Link"] = next_link(request, state.settings.base_url, f"/jobs/{job}/results", cursor)
        if not found.more:
            headers["Retry-After"] = AGAIN_S
    return Response("".join(f"{line}\n" for line in lines), headers=headers, media_type=MEDIA_TYPE)

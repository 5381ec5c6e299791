"""A job's results in the order in which they came, as JSON Lines: in pages, so that a client who polls reads each one
once, or as one answer that stays open until the job has ended.

In: a job and a place in that order. Out: lines, and where to go on. By index, and all at once: routes/results.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response

from api.answers import next_link
from api.events import EventStream
from api.state import State
from shared.events import Event, Position, news
from shared.refusals import no_such_job
from shared.schema import PictureResult
from shared.views import Snapshot

MEDIA_TYPE = "application/x-ndjson"
MOST = 200
AGAIN_S = "1"


class PlacedResult(PictureResult):
    """A line of a page. `place`: its number in the order of results, from 1; `after=place` goes on behind it."""

    place: int


class ResultStream(EventStream):
    """Each result as it comes, until the job has ended. Raises, before anything is sent, what `EventStream` does.

    A blank line is no JSON value, so none of JSON Lines (jsonlines.org, 2): nothing is sent while nothing happens.
    """

    media_type = MEDIA_TYPE
    beginning, heartbeat = b"", b""
    says_its_end = False  # no line tells an answer that ended with its job from one that ended before


def lines(events: Sequence[Event]) -> bytes:
    """Those of the pictures among `events`."""
    placed = (
        PlacedResult(**dict(event.data), place=event.id.pictures)
        for event in events
        if isinstance(event.data, PictureResult)
    )
    return "".join(f"{line.model_dump_json()}\n" for line in placed).encode()


async def result_page(request: Request, state: State, snapshot: Snapshot, after: int, limit: int) -> Response:
    """Up to `limit` results from just after place `after`; fewer where they are large.

    `Link: rel="next"` until there is nothing more to come: with `Retry-After` where it is still to be worked out.
    A place that the job never had reads as 0. Raises JobNotFound, StoreUnavailable.
    """
    job = snapshot.spec.id
    (found,) = await state.store.run(news([(job, Position(pictures=after))], most=limit))
    if found is None:
        raise no_such_job(job)
    headers = {}
    if found.more or not found.ended:
        cursor = str(found.position.pictures)
        headers["Link"] = next_link(request, state.settings.base_url, f"/jobs/{job}/results", cursor)
        if not found.more:
            headers["Retry-After"] = AGAIN_S
    return Response(lines(found.events), headers=headers, media_type=MEDIA_TYPE)

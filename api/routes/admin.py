"""For those who run the service: the pictures that were given up, and another try for them. Contract: docs/api.md."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from api.answers import job_answer, next_link
from api.openapi import problems
from api.routes.pictures import stored
from api.scopes import ADMIN
from api.state import Shared
from shared.dead import DeadLetter, dead_letter, dead_letters, take_off
from shared.errors import DeadLetterNotFound, PictureNotStored
from shared.schema import JobView, UploadSource
from shared.steps import accept

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[ADMIN])

CURSOR = r"^\d{1,15}\.job_[0-9A-Za-z_-]{1,64}\.\d{1,5}$"


class DeadPage(BaseModel):
    """A page of the dead-letter list, newest first; `next` is the cursor for `after`, null on the last page."""

    dead: list[DeadLetter]
    next: str | None


@router.get("/dead", response_model=DeadPage)
async def list_dead(
    request: Request,
    response: Response,
    state: Shared,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> DeadPage:
    """Pictures that ended their workers or decoders until no attempt was left, newest first.

    An entry is kept as long as its job. The cursor for the next page is in `next` and in `Link`.
    """
    before = None
    if after is not None:
        died, job, index = after.split(".")
        before = (int(died), job, int(index))
    rows = await state.store.run(dead_letters(before=before, count=limit + 1))
    following = None
    if len(rows) > limit:
        died_ms, last = rows[limit - 1]
        following = f"{died_ms}.{last.job}.{last.index}"
        response.headers["Link"] = next_link(request, state.settings.base_url, "/admin/dead", following)
    return DeadPage(dead=[letter for _, letter in rows[:limit]], next=following)


@router.post("/dead/{job}/{index}/replay", status_code=202, response_model=JobView, responses=problems(404, 429))
async def replay(state: Shared, job: str, index: Annotated[int, Path(ge=0, lt=10_000)]) -> Response:
    """Try a dead picture again, as a new job of this one picture with the options and the owner of the old one.

    It leaves the list. Asked for again before that was seen, it is the same new job.
    """
    found = await state.store.run(dead_letter(job, index))
    if found is None:
        raise DeadLetterNotFound(f"Picture {index} of job {job} is not in the list: GET /admin/dead shows what is.")
    new, source = found
    if isinstance(source, UploadSource) and await stored(state, source.upload) is None:
        raise PictureNotStored("The upload is no longer kept; its owner has to send it again.")
    taken = await state.store.run(accept(new, [source], queue_limit=state.settings.queue_limit))
    await state.store.run(take_off(job, index, source, new))
    state.waker.wake_detect(new.model, taken.tokens)
    base = state.settings.base_url
    return job_answer(await state.snapshot(new.id, new.owner), base, 202, {"Location": f"{base or ''}/jobs/{new.id}"})

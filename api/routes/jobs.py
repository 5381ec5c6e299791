"""The job resource: submit, look, wait, list. How it ends early or begins again: ends.py. Contract: docs/api.md."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from api.answers import etag, job_answer, limit_headers, next_link
from api.bodies import read_submission
from api.datasets import converted
from api.formats import FormatName
from api.idempotency import HEADER, read_key
from api.intake import allowed, ended, prepare, take_in
from api.keys import Caller
from api.listing import CURSOR, Filter, find, metadata_filter
from api.openapi import LOOK_ANSWERS, POST_ANSWERS, PUT_ANSWERS, PUT_BODY, SUBMIT_BODY
from api.preferences import MAX_WAIT_S, preferred_wait
from api.scopes import Reader, Writer
from api.state import Shared, State
from shared.schema import JOB_ID, JobView, Moment, Status
from shared.views import Snapshot, shown

router = APIRouter(tags=["jobs"])


class JobPage(BaseModel):
    """A page of jobs, newest first; `next` is the cursor for `after`, null on the last page."""

    jobs: list[JobView]
    next: str | None


@router.post("/jobs", status_code=202, response_model=JobView, responses=POST_ANSWERS, openapi_extra=SUBMIT_BODY)
async def submit(request: Request, state: Shared, caller: Writer) -> Response:
    """Take a detection job: JSON (`image` or `images`), a form with `file`s, a zip, or one picture as the raw
    body.

    `Prefer: wait=N` (0..60 s) answers 200 with the finished job when it ends in time.
    """
    return await _submit(request, state, caller, key=read_key(request.headers.get(HEADER)))


@router.put("/jobs/{job}", status_code=201, response_model=JobView, responses=PUT_ANSWERS, openapi_extra=PUT_BODY)
async def put(
    request: Request, state: Shared, caller: Writer, job: Annotated[str, Path(pattern=JOB_ID)]
) -> Response:  # fmt: skip
    """The same under an id of the client's: `job_` and 1 to 64 letters, digits, `_` and `-`, best not to be guessed.

    201 for a new job. Repeating the request is harmless: 200 and the job as it is. 409 where the id belongs to another
    request or another owner; which of these is not told.
    """
    return await _submit(request, state, caller, chosen=job)


async def _submit(
    request: Request, state: State, caller: Caller, *, key: str | None = None, chosen: str | None = None
) -> Response:
    wait_s = preferred_wait(request.headers.get("prefer", ""))
    with ExitStack() as watching:
        with state.in_flight.holding(caller.owner, key):
            state.admission.check()
            submission = await read_submission(request, allowed(state, caller))
            fresh = "no-cache" in request.headers.get("cache-control", "").lower()
            intake = await prepare(state, caller, submission, key, chosen=chosen, fresh=fresh)
            watch = watching.enter_context(state.changes.watch(intake.spec.id, only_final=True))
            taken = await take_in(state, intake)
        snapshot = None
        if wait_s is not None:
            snapshot = await ended(state, caller, intake.spec, taken, watch, wait_s)
    job = taken.earlier or intake.spec.id
    if snapshot is None:
        snapshot = await state.snapshot(job, caller.owner)
    status = 200 if wait_s is not None and snapshot.final else 202
    if chosen is not None:
        status = 200 if taken.earlier else 201
    headers = {"Location": f"{state.settings.base_url or ''}/jobs/{job}"} | limit_headers(caller.limits, taken)
    if wait_s is not None:
        headers["Preference-Applied"] = f"wait={wait_s}"
    if taken.earlier:
        headers["Idempotent-Replayed"] = "true"
    return job_answer(snapshot, state.settings.base_url, status, headers)


@router.get("/jobs/{job}", response_model=None, responses=LOOK_ANSWERS)
async def look(
    request: Request,
    state: Shared,
    caller: Reader,
    job: str,
    wait: Annotated[int, Query(ge=0, le=MAX_WAIT_S)] = 0,
    format: FormatName = "spotter",
) -> Response:
    """The job now. `?wait=N` holds the answer until something changed, N seconds at most.

    With `If-None-Match` the change is measured against that ETag, and an unchanged job is a 304.
    `?format=` answers with the results alone, as another system writes them: 409 before the job has ended, so `wait`
    waits for that.
    """
    known = request.headers.get("if-none-match")
    look_now = partial(state.shared_snapshot if wait else state.snapshot, job, caller.owner)
    snapshot = await look_now()
    if format != "spotter":
        return await _look_in(state, caller, snapshot, format, wait, known)
    seen = known or etag(snapshot)
    if wait and not snapshot.final and etag(snapshot) == seen:
        with (
            state.listeners.one_more(caller.owner),
            state.changes.watch(job, only_final=False) as watch,
            watch.while_there(request.receive),
        ):
            snapshot = await watch.until(look_now, lambda now: now.final or etag(now) != seen, wait)
    if known is not None and etag(snapshot) == known:
        return Response(status_code=304, headers={"ETag": known})
    return job_answer(snapshot, state.settings.base_url)


async def _look_in(
    state: State, caller: Caller, snapshot: Snapshot, form: FormatName, wait_s: int, known: str | None
) -> Response:
    job = snapshot.spec.id
    if wait_s and not snapshot.final:
        with state.changes.watch(job, only_final=True) as watch:
            snapshot = await watch.until(lambda: state.snapshot(job, caller.owner), lambda now: now.final, wait_s)
    if snapshot.final and known == etag(snapshot, form):
        return Response(status_code=304, headers={"ETag": known})
    return await converted(state, snapshot, form)


@router.get("/jobs", response_model=JobPage)
async def list_jobs(
    request: Request,
    response: Response,
    state: Shared,
    caller: Reader,
    status: Status | None = None,
    model: str | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> JobPage:
    """Jobs, newest first, without their results. The cursor for the next page is in `next` and in `Link`.

    `metadata.KEY=value`, once or several times: jobs with these pairs. A filtered page may be short and have a next one
    all the same, for it looks at a bounded number of jobs.
    """
    pairs = metadata_filter(request.query_params.multi_items())
    wanted = Filter(status, model, created_after, created_before, pairs)
    base = state.settings.base_url
    found, following = await find(state.store, caller.owner, wanted, after, limit)
    if following:
        response.headers["Link"] = next_link(request, base, "/jobs", following)
    return JobPage(jobs=[shown(snapshot, base) for snapshot in found], next=following)

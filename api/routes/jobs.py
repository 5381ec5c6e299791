"""The job resource: submit, look, wait, list, cancel. Contract: docs/api.md."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel

from api.answers import etag, job_answer, next_link
from api.bodies import Allowed, Submission, read_submission
from api.idempotency import HEADER, fingerprint, read_key
from api.keys import Caller
from api.listing import CURSOR, Filter, find
from api.openapi import JOB_ANSWERS, SUBMIT_BODY
from api.scopes import Reader, Writer
from api.state import Shared, State
from shared import observe
from shared.errors import FieldError, InvalidRequest, JobFinished
from shared.ids import job_id
from shared.refusals import no_such_job
from shared.schema import JobSpec, JobView, Status
from shared.steps import Accepted, Idempotent, accept, cancel
from shared.store import Call
from shared.views import Snapshot, shown

router = APIRouter(tags=["jobs"])

MAX_WAIT_S = 60

_WAIT = re.compile(r"(?:^|[,;\s])wait(?:=(\d{1,4}))?(?=$|[,;\s])")


class JobPage(BaseModel):
    """A page of jobs, newest first; `next` is the cursor for `after`, null on the last page."""

    jobs: list[JobView]
    next: str | None


@router.post("/jobs", status_code=202, response_model=JobView, responses=JOB_ANSWERS, openapi_extra=SUBMIT_BODY)
async def submit(request: Request, state: Shared, caller: Writer) -> Response:
    """Take a detection job: JSON (`image` or `images`), a form with `file`s, or one picture as the raw body.

    `Prefer: wait=N` (0..60 s) answers 200 with the finished job when it ends in time.
    """
    state.admission.check()
    wait_s = _preferred_wait(request.headers.get("prefer", ""))
    key = read_key(request.headers.get(HEADER))
    with ExitStack() as taking_in:
        taking_in.enter_context(state.in_flight.holding(caller.owner, key))
        spec, taking = await _read(request, state, caller, key)
        if wait_s is None:
            taken = await _take_in(state, spec, taking)
            return await _submitted(state, caller, spec, taken)
        with state.changes.watch(spec.id, only_final=True) as watch:
            taken = await _take_in(state, spec, taking)
            taking_in.close()
            if taken.earlier is None:
                snapshot = await watch.until(lambda: state.snapshot(spec.id, caller.owner), _final, wait_s, new=True)
                return await _submitted(state, caller, spec, taken, snapshot, wait_s)
    snapshot = await _ended(state, caller, taken.earlier, wait_s)
    return await _submitted(state, caller, spec, taken, snapshot, wait_s)


@router.get("/jobs/{job}", response_model=JobView, responses=JOB_ANSWERS)
async def look(
    request: Request, state: Shared, caller: Reader, job: str, wait: Annotated[int, Query(ge=0, le=MAX_WAIT_S)] = 0
) -> Response:
    """The job now. `?wait=N` holds the answer until something changed, N seconds at most.

    With `If-None-Match` the change is measured against that ETag, and an unchanged job is a 304.
    """
    known = request.headers.get("if-none-match")
    snapshot = await state.snapshot(job, caller.owner)
    seen = known or etag(snapshot)
    if wait and not snapshot.final and etag(snapshot) == seen:
        with state.changes.watch(job, only_final=False) as watch:
            snapshot = await watch.until(
                lambda: state.snapshot(job, caller.owner), lambda now: now.final or etag(now) != seen, wait
            )
    if known is not None and etag(snapshot) == known:
        return Response(status_code=304, headers={"ETag": known})
    return job_answer(snapshot, state.settings.base_url)


@router.get("/jobs", response_model=JobPage)
async def list_jobs(
    request: Request,
    response: Response,
    state: Shared,
    caller: Reader,
    status: Status | None = None,
    model: str | None = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> JobPage:
    """Jobs, newest first, without their results. The cursor for the next page is in `next` and in `Link`."""
    wanted = Filter(status, model, created_after, created_before)
    base = state.settings.base_url
    found, following = await find(state.store, caller.owner, wanted, after, limit)
    if following:
        response.headers["Link"] = next_link(request, base, "/jobs", following)
    return JobPage(jobs=[shown(snapshot, base) for snapshot in found], next=following)


@router.post("/jobs/{job}/cancel", response_model=JobView, responses=JOB_ANSWERS)
async def cancel_job(state: Shared, caller: Writer, job: str) -> Response:
    """End a job at once: what waits is never begun, and what runs is not written any more. 409 when it has ended."""
    outcome = await state.store.run(cancel(job, caller.owner))
    if outcome == "":
        raise no_such_job(job)
    if outcome != "ended":
        raise JobFinished(f"The job is {outcome} already.")
    return job_answer(await state.snapshot(job, caller.owner), state.settings.base_url)


async def _read(request: Request, state: State, caller: Caller, key: str | None) -> tuple[JobSpec, Call[Accepted]]:
    """The job that a request asks for, and the step that takes it in."""
    settings = state.settings
    allowed = Allowed(caller.owner, settings.max_pictures, settings.max_image_bytes)
    submission = await read_submission(request, allowed)
    spec = await _spec(state, caller, submission)
    observe.job_id.set(spec.id)
    inline = await _store_large(state, submission.uploads)
    return spec, accept(
        spec,
        submission.sources,
        queue_limit=settings.queue_limit,
        blobs=inline,
        limits=caller.limits,
        idempotent=Idempotent(key, fingerprint(submission)) if key else None,
    )


async def _take_in(state: State, spec: JobSpec, taking: Call[Accepted]) -> Accepted:
    """Run the accept and publish its tokens."""
    taken = await state.store.run(taking)
    state.waker.wake_detect(spec.model, taken.tokens)
    return taken


async def _ended(state: State, caller: Caller, job: str, wait_s: int) -> Snapshot:
    """A job once it is final, or as it is after `wait_s`."""
    with state.changes.watch(job, only_final=True) as watch:
        return await watch.until(lambda: state.snapshot(job, caller.owner), _final, wait_s)


async def _submitted(
    state: State, caller: Caller, spec: JobSpec, taken: Accepted, snapshot: Snapshot | None = None,
    wait_s: int | None = None,
) -> Response:  # fmt: skip
    """The answer to a submission: the new job, or the one that its key made before."""
    job = taken.earlier or spec.id
    if snapshot is None:
        snapshot = await state.snapshot(job, caller.owner)
    headers = {"Location": f"{state.settings.base_url or ''}/jobs/{job}"}
    if wait_s is not None:
        headers["Preference-Applied"] = f"wait={wait_s}"
    if taken.earlier:
        headers["Idempotent-Replayed"] = "true"
    if taken.left is not None:
        limits = caller.limits
        headers |= limits.headers(taken.left, math.ceil((limits.burst - taken.left) / limits.rate))
    return job_answer(snapshot, state.settings.base_url, 200 if wait_s is not None and snapshot.final else 202, headers)


async def _spec(state: State, caller: Caller, submission: Submission) -> JobSpec:
    request, settings = submission.request, state.settings
    if request.webhook is not None:
        _check_webhook(request.webhook.url, settings.webhook_secret is not None, settings.webhook_http)
    return JobSpec(
        id=job_id(),
        owner=caller.owner,
        model=await state.reference(request.model),
        options=request.options,
        priority=request.priority,
        total=len(submission.sources),
        deadline_s=request.deadline_s or settings.deadline_s,
        retain_s=request.retain_s or settings.retain_s,
        webhook=request.webhook,
        metadata=request.metadata,
    )


def _check_webhook(url: str, have_secret: bool, allow_http: bool) -> None:
    reason = None
    if not have_secret:
        reason = "webhooks are off on this service: its operator sets SPOTTER_WEBHOOK_SECRET"
    elif not allow_http and not url.lower().startswith("https://"):
        reason = "an endpoint must be https://"
    if reason:
        raise InvalidRequest(f"Correct webhook.url: {reason}.", errors=(FieldError("webhook.url", reason),))


async def _store_large(state: State, uploads: dict[str, bytes]) -> dict[str, bytes]:
    """Put what is too large for the store into S3, where there is one; the rest goes with the accept."""
    if state.large_blobs is None:
        return uploads
    large = {name: data for name, data in uploads.items() if state.large_blobs.takes(data)}
    for name, data in large.items():
        await asyncio.to_thread(state.large_blobs.put, name, data)
    return {name: data for name, data in uploads.items() if name not in large}


def _final(snapshot: Snapshot) -> bool:
    return snapshot.final


def _preferred_wait(header: str) -> int | None:
    """`Prefer: wait=10` (RFC 7240) -> 10; `wait` alone -> 60; anything else in the header is not ours."""
    found = _WAIT.search(header.lower())
    if not found:
        return None
    return min(MAX_WAIT_S, int(found.group(1) or MAX_WAIT_S))

"""How a job ends before its time, begins again, and is gone: cancel, retry, delete. Contract: docs/api.md."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from api.answers import job_answer, limit_headers
from api.keys import Caller
from api.openapi import problems
from api.scopes import Writer
from api.state import Shared, State
from shared import observe
from shared.blobs import LargeBlobs
from shared.errors import JobFinished
from shared.lifecycle import delete, retry, uploads_gone
from shared.refusals import no_such_job
from shared.schema import JobSpec, JobView
from shared.steps import Accepted, cancel

router = APIRouter(tags=["jobs"])

LOOKS_AT_ONCE = 16
"""Uploads looked for in S3 side by side."""


@router.post("/jobs/{job}/cancel", response_model=JobView, responses=problems(404, 409))
async def cancel_job(state: Shared, caller: Writer, job: str) -> Response:
    """End a job at once: what waits is never begun, and what runs is not written any more. 409 when it has ended."""
    outcome = await state.store.run(cancel(job, caller.owner))
    if outcome == "":
        raise no_such_job(job)
    if outcome != "ended":
        raise JobFinished(f"The job is {outcome} already.")
    snapshot = await state.snapshot(job, caller.owner)
    if snapshot.spec.webhook is not None:
        state.waker.wake_deliver()  # no worker has a hand in this end, and the sweep is seconds away
    return job_answer(snapshot, state.settings.base_url)


@router.post("/jobs/{job}/retry", status_code=202, response_model=JobView, responses=problems(404, 409))
async def retry_job(state: Shared, caller: Writer, job: str) -> Response:
    """Try the failed, expired and canceled pictures of an ended job again; results that succeeded stay.

    Deadline and retention begin anew, and its next end is told to the webhook under an id of its own. 409 where the job
    has not ended, every picture succeeded, or the bytes of an upload are no longer stored.
    """
    state.admission.check()
    spec = (await state.snapshot(job, caller.owner)).spec
    observe.job_id.set(spec.id)
    taken = await _retried(state, caller, spec)
    state.waker.wake_detect(spec.model, taken.tokens)
    headers = {"Location": f"{state.settings.base_url or ''}/jobs/{job}"} | limit_headers(caller.limits, taken)
    return job_answer(await state.snapshot(job, caller.owner), state.settings.base_url, 202, headers)


@router.delete("/jobs/{job}", status_code=204, responses=problems(404), response_class=Response)
async def delete_job(state: Shared, caller: Writer, job: str) -> Response:
    """Leave nothing of a job: results, uploads that came with it, annotated pictures, webhooks not yet delivered.

    A job that has not ended is canceled first. 404 when it is not there (any more).
    """
    if state.large_blobs is not None:  # first, so that whoever is told of trouble there can ask again
        elsewhere = await state.store.run(delete(job, caller.owner, leave_record=True))
        await asyncio.to_thread(state.large_blobs.delete, elsewhere or [])
    if await state.store.run(delete(job, caller.owner)) is None:
        raise no_such_job(job)
    return Response(status_code=204)


async def _retried(state: State, caller: Caller, spec: JobSpec) -> Accepted:
    limit = state.settings.queue_limit
    taken = await state.store.run(retry(spec, queue_limit=limit, limits=caller.limits))
    if isinstance(taken, list) and state.large_blobs is not None and not await _lacking(state.large_blobs, taken):
        taken = await state.store.run(retry(spec, queue_limit=limit, limits=caller.limits, elsewhere=True))
    if isinstance(taken, list):
        raise uploads_gone(len(taken))
    return taken


async def _lacking(blobs: LargeBlobs, names: list[str]) -> bool:
    """Whether any of these is not there. Stops at the first such group."""
    for first in range(0, len(names), LOOKS_AT_ONCE):
        some = names[first : first + LOOKS_AT_ONCE]
        if not all(await asyncio.gather(*(asyncio.to_thread(blobs.has, name) for name in some))):
            return True
    return False

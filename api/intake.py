"""A checked submission -> a job in the store and, for who waits, its end. Knows nothing of bodies and answers: the
routes of jobs and the adapters of other systems' interfaces read the one and write the other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from api.bodies import Allowed, Submission
from api.changes import Watch
from api.idempotency import fingerprint
from api.keys import Caller
from api.loading import drop, load
from api.state import State
from shared import observe
from shared.errors import FieldError, InvalidRequest, SpotterError, StoreUnavailable
from shared.ids import job_id
from shared.schema import JobSpec
from shared.settings import Settings
from shared.steps import Accepted, Idempotent, accept
from shared.store import Call
from shared.views import Snapshot

UNPACKED = 2
"""So many times its own size the pictures of an archive may hold."""


@dataclass(frozen=True)
class Intake:
    """A job that is about to be taken in, and the step that does it.

    `loaded`: pictures of an archive, which lie in the store already, for a while.
    """

    spec: JobSpec
    step: Call[Accepted]
    loaded: tuple[str, ...] = ()


def allowed(state: State, caller: Caller) -> Allowed:
    """What a submission of this caller may hold."""
    settings = state.settings
    return Allowed(
        caller.owner,
        settings.max_pictures,
        settings.max_image_bytes,
        settings.max_body_bytes,
        UNPACKED * settings.max_archive_bytes,
    )


async def prepare(state: State, caller: Caller, submission: Submission, key: str | None = None) -> Intake:
    """Settle what the job is, and put its large pictures away. `key`: the client's `Idempotency-Key`.

    Raises UnknownModel, InvalidRequest (a webhook that cannot be, a manifest with wrong lines), StoreUnavailable, and
    what `load` says.
    """
    if submission.request.manifest is not None:
        listed = await state.manifests.read(submission.request.manifest, state.settings.max_pictures)
        submission = replace(submission, sources=listed)
    archive = submission.archive
    try:
        spec = await _spec(state, caller, submission)
        observe.job_id.set(spec.id)
        inline = await _store_large(state, submission.uploads)
        if archive is not None:
            await load(state, archive)
    finally:
        if archive is not None:
            archive.close()
    step = accept(
        spec,
        submission.sources,
        queue_limit=state.settings.queue_limit,
        blobs=inline,
        limits=caller.limits,
        idempotent=Idempotent(key, fingerprint(submission)) if key else None,
        loaded=archive is not None,
    )
    return Intake(spec, step, tuple(archive.digests) if archive is not None else ())


async def take_in(state: State, intake: Intake) -> Accepted:
    """Run the accept and wake workers. Raises what `accept` says."""
    try:
        taken = await state.store.run(intake.step)
    except StoreUnavailable:
        raise  # perhaps it was taken in, and then its pictures are needed: those of none go by themselves
    except SpotterError:
        await drop(state, intake.loaded)
        raise
    if taken.earlier is not None:
        await drop(state, intake.loaded)
    state.waker.wake_detect(intake.spec.model, taken.tokens)
    return taken


async def ended(
    state: State, caller: Caller, spec: JobSpec, taken: Accepted, watch: Watch, wait_s: float
) -> Snapshot:  # fmt: skip
    """The job once it is final, or as it is after `wait_s`; the earlier one, where the same key made one before.

    Args:
        watch: of the new job, begun before it was taken in.
    """
    if taken.earlier is None:
        return await watch.until(lambda: state.snapshot(spec.id, caller.owner), _final, wait_s, new=True)
    earlier = taken.earlier
    with state.changes.watch(earlier, only_final=True) as watching:
        return await watching.until(lambda: state.snapshot(earlier, caller.owner), _final, wait_s)


async def run_to_end(state: State, caller: Caller, submission: Submission, wait_s: float) -> Snapshot:
    """Take a job in and wait for its end: what an adapter does. After `wait_s` the job as it is then; it goes on.

    Raises what `Admission.check`, `prepare` and `take_in` say.
    """
    state.admission.check()
    intake = await prepare(state, caller, submission)
    with state.changes.watch(intake.spec.id, only_final=True) as watch:
        taken = await take_in(state, intake)
        return await ended(state, caller, intake.spec, taken, watch, wait_s)


async def _spec(state: State, caller: Caller, submission: Submission) -> JobSpec:
    request, settings = submission.request, state.settings
    if request.webhook is not None:
        check_endpoint(request.webhook.url, settings, "webhook.url")
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


def check_endpoint(url: str, settings: Settings, field: str) -> None:
    """Raises InvalidRequest: no webhook can go there, as far as its spelling and the settings tell."""
    reason = None
    if settings.webhook_secret is None:
        reason = "webhooks are off on this service: its operator sets SPOTTER_WEBHOOK_SECRET"
    elif not settings.webhook_http and not url.lower().startswith("https://"):
        reason = "an endpoint must be https://"
    if reason:
        raise InvalidRequest(f"Correct {field}: {reason}.", errors=(FieldError(field, reason),))


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

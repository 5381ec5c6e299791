"""A checked submission -> a job in the store and, for who waits, its end. Knows nothing of bodies and answers: the
routes of jobs and the adapters of other systems' interfaces read the one and write the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
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
from shared.recall import Recalled, noted, recall
from shared.schema import JobSpec, StoredSource
from shared.settings import Settings
from shared.steps import Accepted, Idempotent, accept, blob_ttl_s
from shared.store import Call
from shared.uploads import hold
from shared.views import Snapshot

UNPACKED = 2
"""So many times its own size the pictures of an archive may hold."""


@dataclass(frozen=True)
class Intake:
    """A job that is about to be taken in, and the step that does it.

    Attributes:
        put_away: pictures that lie somewhere already, for a while: those of an archive in the store, large ones in S3.
        recalled: earlier results answer it at once.
    """

    spec: JobSpec
    step: Call[Accepted]
    put_away: tuple[str, ...] = ()
    recalled: bool = False


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


async def prepare(
    state: State,
    caller: Caller,
    submission: Submission,
    key: str | None = None,
    *,
    chosen: str | None = None,
    fresh: bool = False,
) -> Intake:
    """Settle what the job is, and put its large pictures away.

    Args:
        key: the client's `Idempotency-Key`.
        chosen: an id that the client chose for the job.
        fresh: no earlier result may answer it.

    Raises UnknownModel, InvalidRequest (a webhook that cannot be, a manifest with wrong lines, an upload that is not
    kept), StoreUnavailable, and what `load` says.
    """
    if submission.request.manifest is not None:
        listed = await state.manifests.read(submission.request.manifest, state.settings.max_pictures)
        submission = replace(submission, sources=listed)
    archive = submission.archive
    try:
        spec = await _spec(state, caller, submission, chosen or job_id())
        observe.job_id.set(spec.id)
        if submission.kept:
            await _hold(state, spec, submission.kept)
        sources: Sequence[StoredSource] = submission.sources
        recalled = None
        if state.settings.cache and not fresh:
            sources, recalled = await _earlier(state, spec, submission)
        inline = await store_large(state, submission.uploads)
        if archive is not None:
            await load(state, archive)
    finally:
        if archive is not None:
            archive.close()
    step = accept(
        spec,
        sources,
        queue_limit=state.settings.queue_limit,
        blobs=inline,
        limits=caller.limits,
        idempotent=Idempotent(key, fingerprint(submission)) if key else None,
        chosen=fingerprint(submission) if chosen else "",
        loaded=archive is not None,
        recalled=recalled,
        blobs_kept_s=state.settings.upload_keep_s if recalled else None,
    )
    large = [name for name in submission.uploads if name not in inline]
    return Intake(spec, step, (*large, *(archive.digests if archive is not None else ())), recalled is not None)


async def take_in(state: State, intake: Intake) -> Accepted:
    """Run the accept and wake workers. Raises what `accept` says."""
    try:
        taken = await state.store.run(intake.step)
    except StoreUnavailable:
        raise  # perhaps it was taken in, and then its pictures are needed: those of none go by themselves
    except SpotterError:
        await drop(state, intake.put_away)
        raise
    # Of the same id it may be this very job: the store took it in, and its first reply was lost.
    if taken.earlier not in (None, intake.spec.id):
        await drop(state, intake.put_away)
    state.waker.wake_detect(intake.spec.model, taken.tokens)
    if intake.recalled and intake.spec.webhook is not None:
        state.waker.wake_deliver()
    return taken


async def ended(state: State, caller: Caller, spec: JobSpec, taken: Accepted, watch: Watch, wait_s: float) -> Snapshot:
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


async def _earlier(
    state: State, spec: JobSpec, submission: Submission
) -> tuple[Sequence[StoredSource], Recalled | None]:
    """The sources as the store keeps them, and the results that answer them already, if there are."""
    sources = noted(submission.sources, submission.uploads, spec.options)
    if sources is None:
        return submission.sources, None
    return sources, await state.store.run(recall(spec.owner, spec.model, sources))


async def _spec(state: State, caller: Caller, submission: Submission, job: str) -> JobSpec:
    request, settings = submission.request, state.settings
    if request.webhook is not None:
        check_endpoint(request.webhook.url, settings, "webhook.url")
    return JobSpec(
        id=job,
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


async def _hold(state: State, spec: JobSpec, fields: Mapping[str, str]) -> None:
    """Uploads that were sent before live as long as this job may need them."""
    missing = await state.store.run(hold(spec.owner, list(fields), blob_ttl_s(spec)))
    if missing:
        reason = "no such upload, or it is no longer kept"
        wrong = tuple(FieldError(fields[name], reason) for name in missing)
        raise InvalidRequest(f"Correct {wrong[0].field}: {reason}.", errors=wrong)


async def store_large(state: State, uploads: dict[str, bytes]) -> dict[str, bytes]:
    """Put what is too large for the store into S3, where there is one; the rest goes with the accept."""
    if state.large_blobs is None:
        return uploads
    large = {name: data for name, data in uploads.items() if state.large_blobs.takes(data)}
    for name, data in large.items():
        await asyncio.to_thread(state.large_blobs.put, name, data)
    return {name: data for name, data in uploads.items() if name not in large}


def _final(snapshot: Snapshot) -> bool:
    return snapshot.final

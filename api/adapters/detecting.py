"""Pictures of a foreign request -> a job -> its results, waited for: what every adapter does between its two forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.adapters.bodies import invalid
from api.adapters.foreign import JOB_HEADER
from api.bodies import Allowed, Submission, uploaded
from api.intake import allowed, run_to_end
from api.keys import Caller
from api.routes.pictures import stored
from api.state import State
from shared.blobs import drawn_blob
from shared.errors import JobFinished, PictureNotStored, WaitOver, picture_error
from shared.schema import INLINE_RESULTS, JobRequest, PictureResult, S3Source, UrlSource
from shared.views import Snapshot

RETAIN_S = 3600
"""A foreign client has its answer and does not come back; the job that the header names can be looked at so long,
or as long as `SPOTTER_RETAIN_S` where that is less."""


async def detect(
    state: State, caller: Caller, pictures: Sequence[bytes | str], document: Mapping[str, Any],
    most: int = INLINE_RESULTS,
) -> Snapshot:  # fmt: skip
    """A job of these pictures, ended: `SPOTTER_ADAPTER_WAIT_S` is waited for it. Pictures of it may have failed.

    Args:
        pictures: bytes, or the address that a worker fetches (text: http, https or s3).
        document: the other fields of a JobRequest, as JSON has them: `model`, `options`, ...
        most: so many pictures are taken; of more than `INLINE_RESULTS` the snapshot has no results.

    Raises:
        WaitOver: it goes on; its header names the job.
        JobFinished: somebody canceled it, or its deadline came.
        SpotterError: what `run_to_end` says; pydantic.ValidationError.
    """
    document = {"retain_s": min(RETAIN_S, state.settings.retain_s), **document}
    made = submission(pictures, document, allowed(state, caller), most)
    wait_s = state.settings.adapter_wait_s
    snapshot = await run_to_end(state, caller, made, wait_s)
    job = {JOB_HEADER: snapshot.spec.id}
    if not snapshot.final:
        raise WaitOver(f"Job {snapshot.spec.id} has not ended in {wait_s:g} s; it goes on.", headers=job)
    if snapshot.view.status in ("canceled", "expired"):
        raise JobFinished(f"Job {snapshot.spec.id} is {snapshot.view.status}.", headers=job)
    return snapshot


async def detections(
    state: State, caller: Caller, pictures: Sequence[bytes | str], document: Mapping[str, Any]
) -> tuple[PictureResult, ...]:  # fmt: skip
    """The results of all pictures, in order, each with `image` and `detections`. (`Snapshot.spec.id` is in the header.)

    Raises:
        PictureError: one failed: the first that did.
        SpotterError: what `detect` says; pydantic.ValidationError.
    """
    snapshot = await detect(state, caller, pictures, document)
    _refuse_failed(snapshot)
    return snapshot.view.results or ()


async def drawn(state: State, caller: Caller, picture: bytes | str, document: Mapping[str, Any]) -> bytes:
    """The picture with its detections drawn on it, as JPEG. Raises what `detections_drawn` says."""
    (found,) = await detections_drawn(state, caller, [picture], document)
    return found[1]


async def detections_drawn(
    state: State, caller: Caller, pictures: Sequence[bytes | str], document: Mapping[str, Any]
) -> list[tuple[PictureResult, bytes]]:  # fmt: skip
    """The results of all pictures, each with the annotated picture as JPEG.

    Raises what `detections` says, PictureNotStored.
    """
    options = {**document.get("options", {}), "draw": True}
    snapshot = await detect(state, caller, pictures, {**document, "options": options})
    _refuse_failed(snapshot)
    found = []
    for result in snapshot.view.results or ():
        data = await stored(state, drawn_blob(snapshot.spec.id, result.index))
        if data is None:
            raise PictureNotStored("The annotated picture is no longer kept.", headers={JOB_HEADER: snapshot.spec.id})
        found.append((result, data))
    return found


def _refuse_failed(snapshot: Snapshot) -> None:
    for result in snapshot.view.results or ():
        if result.error is not None:
            raise picture_error(result.error.code, result.error.detail, headers={JOB_HEADER: snapshot.spec.id})


def submission(
    pictures: Sequence[bytes | str], document: Mapping[str, Any], allowed: Allowed, most: int = INLINE_RESULTS
) -> Submission:  # fmt: skip
    """Pictures as bytes or addresses -> a checked submission. Raises InvalidRequest, pydantic.ValidationError."""
    most = min(allowed.pictures, most)
    if len(pictures) > most:
        raise invalid("images", f"one request may hold {most} pictures at most")
    uploads: dict[str, bytes] = {}
    sources = tuple(address(one) if isinstance(one, str) else uploaded(one, None, allowed, uploads) for one in pictures)
    request = JobRequest.model_validate({**document, "images": sources})
    return Submission(request, sources, uploads)


def address(text: str) -> UrlSource | S3Source:
    """Raises pydantic.ValidationError: it is no address of a picture."""
    return S3Source(s3=text) if text.startswith("s3://") else UrlSource(url=text)

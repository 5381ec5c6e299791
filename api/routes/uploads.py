"""Pictures that are sent once and named by several jobs (`{"upload": "upk_..."}`). Contract: docs/api.md."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from api.bodies import read_picture
from api.intake import allowed
from api.openapi import BINARY, problems
from api.openapi_examples import BYTES
from api.scopes import Reader, Writer
from api.state import Shared, State
from shared.blobs import LargeBlobs
from shared.errors import ServiceBusy, SpotterError, UploadNotFound
from shared.ids import kept_upload_id
from shared.schema import rfc3339
from shared.uploads import RESERVED_S, Kept, drop, hold, keep, kept

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/uploads", tags=["uploads"])

KEEP_S, LEAST_S, MOST_S = 86_400, 60, 2_592_000
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": BINARY},
                    "additionalProperties": False,
                },
                "example": {"file": BYTES},
            },
        },
    }
}
_NOT_FOUND = problems(404)


class UploadView(BaseModel):
    """An upload as its owner sees it: name it in a job as `{"upload": id}` until it expires."""

    id: str
    size_bytes: int
    expires_at: str


@router.post(
    "",
    status_code=201,
    response_model=UploadView,
    responses=problems(400, 413, 415),
    openapi_extra=UPLOAD_BODY,
)
async def send(
    request: Request,
    response: Response,
    state: Shared,
    caller: Writer,
    keep_s: Annotated[int, Query(ge=LEAST_S, le=MOST_S)] = KEEP_S,
) -> UploadView:
    """Keep a picture, sent as the raw body or as the `file` of a form, for `keep_s` seconds (default: a day).

    A job that names it prolongs that as far as it may need it. The bytes are looked at by the worker alone, so what is
    no picture is told by the jobs that name it.
    """
    state.admission.check()
    data = await read_picture(request, allowed(state, caller))
    name, elsewhere = kept_upload_id(caller.owner), state.large_blobs
    if elsewhere is not None and not elsewhere.takes(data):
        elsewhere = None
    step = keep(
        caller.owner,
        name,
        data if elsewhere is None else None,
        len(data),
        keep_s if elsewhere is None else RESERVED_S,
        most_bytes=state.settings.owner_upload_bytes,
        limits=caller.limits,
    )
    found = await state.store.run(step)
    if elsewhere is not None:
        found = await _put(state, elsewhere, caller.owner, name, data, keep_s)
    response.headers["Location"] = f"{state.settings.base_url or ''}/uploads/{name}"
    return _view(found)


@router.get("/{upload}", response_model=UploadView, responses=_NOT_FOUND)
async def look(state: Shared, caller: Reader, upload: str) -> UploadView:
    """How large it is, and until when it is kept."""
    found = await state.store.run(kept(caller.owner, upload))
    if found is None:
        raise _no_such(upload)
    return _view(found)


@router.delete("/{upload}", status_code=204, responses=_NOT_FOUND, response_class=Response)
async def delete(state: Shared, caller: Writer, upload: str) -> Response:
    """Keep it no longer. Jobs that name it and have not begun with it fail there, as `upload_gone`."""
    if await state.store.run(kept(caller.owner, upload)) is None:
        raise _no_such(upload)
    if state.large_blobs is not None:  # first, so that whoever is told of trouble there can ask again
        await asyncio.to_thread(state.large_blobs.delete, [upload])
    await state.store.run(drop(caller.owner, upload))
    return Response(status_code=204)


async def _put(state: State, blobs: LargeBlobs, owner: str, name: str, data: bytes, keep_s: int) -> Kept:
    """The bytes of an upload that has its place in the list -> S3; then it has its whole time.

    Nothing of it stays where that fails, nor is anything there for what the list refused. Raises StoreUnavailable and,
    where it took longer than the place was reserved for, ServiceBusy.
    """
    try:
        await asyncio.to_thread(blobs.put, name, data)
    except BaseException:
        await _forget(state, None, owner, name)
        raise
    try:
        await state.store.run(hold(owner, [name], keep_s))
        found = await state.store.run(kept(owner, name))
        if found is None:
            raise ServiceBusy("Storing the picture took too long; try again.", retry_after_s=5)
    except BaseException:
        await _forget(state, blobs, owner, name)
        raise
    return found


async def _forget(state: State, blobs: LargeBlobs | None, owner: str, name: str) -> None:
    """Take back what nobody was told of. Where that fails, the list lets it go by itself, and S3 by its lifecycle."""
    try:
        if blobs is not None:
            await asyncio.to_thread(blobs.delete, [name])
        await state.store.run(drop(owner, name))
    except SpotterError as error:
        logger.warning("an upload that nobody was told of stays for a while", extra={"code": error.code})


def _view(found: Kept) -> UploadView:
    return UploadView(id=found.name, size_bytes=found.size_bytes, expires_at=rfc3339(found.expires_ms))


def _no_such(upload: str) -> UploadNotFound:
    return UploadNotFound(f"There is no upload {upload}, or it is no longer kept.")

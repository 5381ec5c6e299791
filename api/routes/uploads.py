"""Pictures that are sent once and named by several jobs (`{"upload": "upk_..."}`). Contract: docs/api.md."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from api.bodies import read_picture
from api.intake import allowed, store_large
from api.openapi import BINARY, problems
from api.openapi_examples import BYTES
from api.scopes import Reader, Writer
from api.state import Shared
from shared.errors import UploadNotFound
from shared.ids import kept_upload_id
from shared.schema import rfc3339
from shared.uploads import Kept, drop, keep, kept

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
    name = kept_upload_id(caller.owner)
    inline = await store_large(state, {name: data})
    step = keep(
        caller.owner,
        name,
        inline.get(name),
        len(data),
        keep_s,
        most_bytes=state.settings.owner_upload_bytes,
        limits=caller.limits,
    )
    view = _view(await state.store.run(step))
    response.headers["Location"] = f"{state.settings.base_url or ''}/uploads/{name}"
    return view


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


def _view(found: Kept) -> UploadView:
    return UploadView(id=found.name, size_bytes=found.size_bytes, expires_at=rfc3339(found.expires_ms))


def _no_such(upload: str) -> UploadNotFound:
    return UploadNotFound(f"There is no upload {upload}, or it is no longer kept.")

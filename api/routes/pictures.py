"""The pictures of a job: the annotated one that its worker kept, or the upload itself."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.accepting import ranked
from api.openapi import problems
from api.scopes import Reader
from api.state import Shared, State
from shared.blobs import drawn_blob
from shared.errors import NotAcceptable, PictureNotFound, PictureNotStored
from shared.schema import UploadSource
from shared.views import blob, source_of

router = APIRouter(tags=["jobs"])

_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
_MAGIC = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"), (b"BM", "image/bmp"))


_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the picture",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (*_FORMATS, "image/gif", "image/bmp", "application/octet-stream")
        },
    },
    **problems(404, 406),
}


@router.get("/jobs/{job}/pictures/{index}", responses=_PICTURE, response_class=Response)
async def picture(
    request: Request,
    state: Shared,
    caller: Reader,
    job: str,
    index: Annotated[int, Path(ge=0, lt=10_000)],
    draw: bool = False,
) -> Response:
    """`?draw=true`: the annotated picture of a job sent with `options.draw`, as JPEG, PNG or WebP by `Accept`.

    Otherwise the upload as it came.
    """
    source = await state.store.run(source_of(job, index, caller.owner))
    if source is None:
        await state.snapshot(job, caller.owner)
        raise PictureNotFound(f"Job {job} has no picture {index}.")
    if draw:
        kind = _wanted(request.headers.get("accept", "*/*"))
        data = await stored(state, drawn_blob(job, index))
        if data is None:
            raise PictureNotStored("There is no annotated picture: send the job with options.draw, and let it finish.")
        if kind != "image/jpeg":
            data = await asyncio.to_thread(_convert, data, _FORMATS[kind])
        return _answer(data, kind)
    if not isinstance(source, UploadSource):
        raise PictureNotStored("Only uploaded pictures are kept; this one came by address.")
    data = await stored(state, source.upload)
    if data is None:
        raise PictureNotStored("The upload is no longer kept.")
    return _answer(data, next((kind for magic, kind in _MAGIC if data.startswith(magic)), "application/octet-stream"))


def _answer(data: bytes, kind: str) -> Response:
    return Response(data, media_type=kind, headers={"Cache-Control": "private"})


async def stored(state: State, name: str) -> bytes | None:
    """The bytes of an upload or a drawn picture, wherever they lie; None when they are no longer kept."""
    data = await state.store.run(blob(name))
    if data is None and state.large_blobs is not None:
        data = await asyncio.to_thread(state.large_blobs.get, name)
    return data


def _wanted(accept: str) -> str:
    """The best of `Accept` that can be made; JPEG where anything goes."""
    for quality, kind in ranked(accept):
        if quality <= 0:
            continue
        if kind in _FORMATS:
            return kind
        if kind in ("*/*", "image/*", ""):
            return "image/jpeg"
    raise NotAcceptable(f"The picture can be had as {', '.join(_FORMATS)}.")


def _convert(jpeg: bytes, format_name: str) -> bytes:
    """Our own worker's JPEG in another format. (Foreign pictures are decoded in workers only.)"""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(jpeg), formats=("JPEG",)).save(out, format_name)
    return out.getvalue()

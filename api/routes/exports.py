"""A job as one data set in another system's form."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.answers import etag
from api.datasets import check_ended, disposition, exported
from api.formats import FORMATS, ExportFormat
from api.openapi import EXPORT_ANSWERS
from api.scopes import Reader
from api.state import Shared

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job}/export", responses=EXPORT_ANSWERS, response_class=StreamingResponse)
async def export(request: Request, state: Shared, caller: Reader, job: str, format: ExportFormat) -> Response:
    """All pictures of an ended job as one data set, made while it is sent.

    A picture without an answer is never shown as one without objects: every form lists it apart, with the reason.
    """
    snapshot = await state.snapshot(job, caller.owner)
    check_ended(snapshot)
    tag = etag(snapshot, format)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    chosen = FORMATS[format].export
    assert chosen is not None
    headers = {"ETag": tag} | disposition(snapshot, chosen)
    return StreamingResponse(exported(state, snapshot, chosen), 200, headers, chosen.media_type)

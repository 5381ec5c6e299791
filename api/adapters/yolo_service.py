"""`yolo_service` (johannestang, "Building an object detection service using YOLO and Docker"): darknet and connexion.

`GET` with a URL, `POST` with a form; `/detect` answers with darknet's tuples, `/annotate` with the picture. Errors are
the problems that connexion answers, which name no code.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from api.adapters.bodies import number, read_form
from api.adapters.credentials import key_in
from api.adapters.detecting import detections, drawn
from api.adapters.document import ANNOTATED, errors, picture_form
from api.adapters.foreign import foreign_route
from api.keys import Caller
from api.scopes import requires
from api.state import Shared, State
from shared.errors import SpotterError
from shared.schema import Detection

THRESHOLD = 0.25

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
Url = Annotated[str, Query(description="where the picture is", min_length=8, max_length=8192)]
Threshold = Annotated[float, Query(ge=0, le=1, description="smallest confidence")]


def _problem(error: SpotterError) -> Response:
    body = {
        "detail": error.detail,
        "status": error.http_status,
        "title": HTTPStatus(error.http_status).phrase,
        "type": "about:blank",
    }
    return Response(json.dumps(body), error.http_status, media_type="application/problem+json")


_PROBLEM = {"type": "object", "required": ["detail", "status", "title", "type"]}
_FORM = picture_form(
    "image_file",
    {"threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": THRESHOLD}},
    threshold=0.4,
)
_TUPLES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "label, confidence, and [centre x, centre y, width, height] in pixels, of each object",
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"type": "array"}},
                "example": [["dog", 0.83, [253.2, 368.8, 258.2, 298.0]]],
            }
        },
    }
}
_own = APIRouter(
    route_class=foreign_route(_problem, ("multipart/form-data",)),
    responses=errors("application/problem+json", _PROBLEM),
    tags=["adapter: yolo_service"],
)


@_own.post("/detect", responses=_TUPLES, openapi_extra=_FORM, response_class=Response)
async def detect_file(request: Request, state: Shared, caller: By) -> Response:
    """What darknet finds in an uploaded picture."""
    return await _tuples(state, caller, *await _uploaded(request))


@_own.get("/detect", responses=_TUPLES, response_class=Response)
async def detect_url(state: Shared, caller: By, url: Url, threshold: Threshold = THRESHOLD) -> Response:
    """What darknet finds in the picture at a URL."""
    return await _tuples(state, caller, url, threshold)


@_own.post("/annotate", responses=ANNOTATED, openapi_extra=_FORM, response_class=Response)
async def annotate_file(request: Request, state: Shared, caller: By) -> Response:
    """An uploaded picture with its objects drawn on it."""
    return await _annotated(state, caller, *await _uploaded(request))


@_own.get("/annotate", responses=ANNOTATED, response_class=Response)
async def annotate_url(state: Shared, caller: By, url: Url, threshold: Threshold = THRESHOLD) -> Response:
    """The picture at a URL with its objects drawn on it."""
    return await _annotated(state, caller, url, threshold)


@_own.get("/ui", response_class=HTMLResponse, include_in_schema=False)
async def page() -> HTMLResponse:
    """A page to try the four calls with; the same for everybody."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


async def _uploaded(request: Request) -> tuple[bytes, float]:
    form = await read_form(request)
    threshold = number(form.fields.get("threshold"), "threshold", THRESHOLD)
    return form.file("image_file").data, THRESHOLD if threshold is None else threshold


async def _tuples(state: State, caller: Caller, picture: bytes | str, threshold: float) -> Response:
    (result,) = await detections(state, caller, [picture], {"options": {"threshold": threshold}})
    found = [_tuple(one) for one in result.detections or ()]
    return Response(json.dumps(found) + "\n", media_type="application/json")


def _tuple(one: Detection) -> tuple[str, float, tuple[float, float, float, float]]:
    """Darknet's `(label, confidence, (centre x, centre y, width, height))`."""
    box = one.box
    return one.label, one.confidence, (box.x + box.width / 2, box.y + box.height / 2, box.width, box.height)


async def _annotated(state: State, caller: Caller, picture: bytes | str, threshold: float) -> Response:
    data = await drawn(state, caller, picture, {"options": {"threshold": threshold}})
    return Response(data, media_type="image/jpeg")


_POLICY = "default-src 'none'; form-action 'self'; frame-ancestors 'none'"


def _tried(call: str) -> str:
    threshold = f'<input name="threshold" type="number" min="0" max="1" step="0.01" value="{THRESHOLD}">'
    return f"""<h2>{call}</h2>
<form action="{call}" method="get"><input name="url" type="url" placeholder="https://..." required>
{threshold} <button>GET</button></form>
<form action="{call}" method="post" enctype="multipart/form-data"><input name="image_file" type="file" required>
{threshold} <button>POST</button></form>
"""


_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>YOLO Object Detection API</title>
<h1>YOLO Object Detection API</h1>
{_tried("detect")}{_tried("annotate")}</html>
"""

router = APIRouter()
router.include_router(_own)
router.include_router(_own, prefix="/1.0")

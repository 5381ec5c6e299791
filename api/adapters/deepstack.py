"""DeepStack and CodeProject.AI: a form with a picture -> its 20 best objects with whole pixels and lower-case labels.

Sources: johnolafenwa/DeepStack `server.go`, CodeProject.AI's API reference, Frigate's detector plugin. The answer has
the fields of both; Blue Iris reads those of the second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.adapters.bodies import FORMS, number, read_form
from api.adapters.credentials import in_form, key_in
from api.adapters.detecting import detections
from api.adapters.document import answers, errors, picture_form
from api.adapters.foreign import foreign_route
from api.adapters.served import default_versions
from api.formats.coco_ids import SPELLINGS
from api.formats.deepstack import MOST, deepstack
from api.keys import Caller
from api.scopes import requires
from api.state import Shared, State
from shared.errors import InvalidImage, SpotterError, UnknownModel
from shared.schema import Timings

MIN_CONFIDENCE = 0.4
"""What is not below this, Frigate reads; at the first one below it stops."""
NAMED = 3
"""Labels that `message` has."""
MODULE = {"moduleId": "Spotter", "moduleName": "Spotter"}

Key = key_in(in_form("api_key"))
By = Annotated[Caller, Depends(requires("jobs:write", Key))]
Looks = Annotated[Caller, Depends(requires("jobs:read", Key))]


def _error(error: SpotterError) -> Response:
    # deepstack-sdk knows 400 (the picture), 403 and 500; a field that cannot be is a 400 for both servers.
    status = 404 if isinstance(error, UnknownModel) else {422: 400}.get(error.http_status, error.http_status)
    said = "invalid image file" if isinstance(error, InvalidImage) else error.detail or error.title
    return _json({"success": False, "error": said, "code": status, **MODULE}, status)


_ERROR = {"type": "object", "required": ["success", "error"]}
_FORM = picture_form(
    "image",
    {
        "min_confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": MIN_CONFIDENCE},
        "api_key": {"type": "string"},
    },
    min_confidence=0.4,
)
_FOUND = answers("the objects", "success", "predictions", "message", "count", "code")
_own = APIRouter(route_class=foreign_route(_error, FORMS))
router = APIRouter(
    route_class=foreign_route(_error), responses=errors("application/json", _ERROR), tags=["adapter: deepstack"]
)


@_own.post("/v1/vision/detection", responses=_FOUND, openapi_extra=_FORM, response_class=Response)
async def detect(request: Request, state: Shared, caller: By) -> Response:
    """The objects of a picture, by the default model."""
    return await _answer(request, state, caller, None)


@router.post(
    "/v1/vision/custom/list", responses=answers("the names", "success", "models"), response_class=Response
)  # comes without a form
async def list_models(state: Shared, _: Looks) -> Response:
    """The names that `/v1/vision/custom/{model}` knows (CodeProject.AI)."""
    names = [one.name for one in await default_versions(state)]
    return _json({"success": True, "models": names, "code": 200, "command": "list-custom", **MODULE})


@_own.post("/v1/vision/custom/{model}", responses=_FOUND, openapi_extra=_FORM, response_class=Response)
async def detect_custom(request: Request, state: Shared, caller: By, model: str) -> Response:
    """The objects of a picture, by one of the models."""
    return await _answer(request, state, caller, model.lower())


async def _answer(request: Request, state: State, caller: Caller, model: str | None) -> Response:
    form = await read_form(request)
    options = {
        "threshold": number(form.fields.get("min_confidence"), "min_confidence", MIN_CONFIDENCE),
        "max_detections": MOST,
    }
    document = {"options": options, **({"model": model} if model else {})}
    (result,) = await detections(state, caller, [form.file("image").data], document)
    answer = deepstack(result, SPELLINGS)
    labels = [one["label"] for one in answer["predictions"]]
    return _json(answer | _of_codeproject(labels, result.timings, "custom" if model else "detect"))


def _of_codeproject(labels: Sequence[str], timings: Timings | None, command: str) -> dict[str, Any]:
    """The fields that CodeProject.AI adds."""
    return {
        "message": f"Found {', '.join(labels[:NAMED])}{'...' if len(labels) > NAMED else ''}" if labels
        else "No objects found",
        "count": len(labels),
        "command": command,
        "code": 200,
        "inferenceMs": round(timings.infer_ms) if timings else 0,
        "processMs": round(timings.total_ms - timings.queue_ms) if timings else 0,
        "analysisRoundTripMs": round(timings.total_ms) if timings else 0,
        "inferenceDevice": timings.provider if timings else "",
        "timestampUTC": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        **MODULE,
    }  # fmt: skip


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")


router.include_router(_own)

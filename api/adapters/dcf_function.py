"""A function component of DCF (KETI's Digital Companion Framework): base64 of a picture in, a JSON list of texts out.

`POST /functions/{name}`; the function is named as a model here. As the tutorial's SSD: classes are numbers from 1 on,
0 being the background, and every value is a text. Errors are one line of text.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from api.adapters.bodies import from_base64
from api.adapters.credentials import key_in
from api.adapters.detecting import detections
from api.adapters.document import errors
from api.adapters.foreign import foreign_route
from api.keys import Caller
from api.openapi_examples import PICTURE
from api.scopes import requires
from api.state import Shared
from shared.errors import ModelNotFound, SpotterError, UnknownModel
from shared.schema import Detection

OPTIONS = {"threshold": 0.5, "iou": 0.45, "max_detections": 400}
"""As the tutorial's `predict` has them."""

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._@-]{0,126}$", description="a model that the service has")]


def _text(error: SpotterError) -> Response:
    return Response(f"error: {error.detail}\n", error.http_status, media_type="text/plain")


router = APIRouter(
    route_class=foreign_route(_text), responses=errors("text/plain"), tags=["adapter: DCF function component"]
)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"text/plain": {"schema": {"type": "string", "format": "byte"}, "example": PICTURE}},
    }
}
_OBJECTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the objects; every value is a text",
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "example": [
                    {
                        "class": "12",
                        "confidence": "0.9948125",
                        "xmin": "49",
                        "ymin": "233",
                        "xmax": "198",
                        "ymax": "375",
                    }
                ],
            }
        },
    }
}


@router.post("/functions/{name}", responses=_OBJECTS, openapi_extra=_BODY, response_class=Response)
async def call(request: Request, state: Shared, caller: By, name: Name) -> Response:
    """What the model finds in the picture whose base64 is the body; lines and content type do not matter."""
    data = from_base64(await request.body(), "body", state.settings.max_image_bytes)
    try:
        (result,) = await detections(state, caller, [data], {"model": name, "options": OPTIONS})
    except UnknownModel as error:
        raise ModelNotFound(error.detail) from None
    return Response(json.dumps([_texts(one) for one in result.detections or ()]), media_type="application/json")


def _texts(one: Detection) -> dict[str, str]:
    """Corners are whole pixels, cut off and not rounded."""
    box = one.box
    return {
        "class": str(one.class_id + 1),
        "confidence": str(one.confidence),
        "xmin": str(int(box.x)),
        "ymin": str(int(box.y)),
        "xmax": str(int(box.x + box.width)),
        "ymax": str(int(box.y + box.height)),
    }

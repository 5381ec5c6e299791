"""Roboflow's inference server: JSON to `/infer/object_detection`, and the older `POST /{project}/{version}`, where the
picture is the body. A model id `name/version` is our `name@version`.

Sources: roboflow/inference (`http_api.py`, its request and response entities) and what inference-sdk calls on its way.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.adapters.bodies import from_base64, invalid, number, read_form
from api.adapters.credentials import in_json, in_query, key_in
from api.adapters.detecting import detections, detections_drawn
from api.adapters.document import answers, errors
from api.adapters.foreign import content_type, foreign_route
from api.adapters.served import served
from api.formats.roboflow import roboflow
from api.keys import Caller
from api.openapi import JOB_ANSWERS
from api.openapi_examples import BYTES, PICTURE, example
from api.scopes import requires
from api.state import Shared, State
from shared import observe
from shared.errors import PictureError, SpotterError, UnknownModel
from shared.schema import Probability

CONFIDENCE, IOU, MOST = 0.4, 0.3, 300
"""Roboflow's defaults."""
THEIR_MOST = 1000
"""More detections are not kept."""
NAME = "Spotter"
UUID = "5f0d5b4e-6f0a-5d3c-9a53-2f0c3c1d9b11"
"""`/info` has one; the same everywhere, since nothing here depends on which process answers."""

Key = key_in(in_query("api_key"))
KeyInBody = key_in(in_json("api_key"), in_query("api_key"))
Looks = Annotated[Caller, Depends(requires("jobs:read", Key))]
LooksByBody = Annotated[Caller, Depends(requires("jobs:read", KeyInBody))]
By = Annotated[Caller, Depends(requires("jobs:write", Key))]
ByBody = Annotated[Caller, Depends(requires("jobs:write", KeyInBody))]
Confidence = Probability | Literal["best", "default"]


class Picture(BaseModel):
    """One picture of a request."""

    type: str
    value: str


class Infer(BaseModel):
    """Roboflow's request for object detection. Preprocessing, usage and active learning are read past."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_id: str | None = None
    image: Picture | Annotated[list[Picture], Field(min_length=1)]
    class_agnostic_nms: bool | None = None
    class_filter: Annotated[list[str], Field(max_length=1000)] | None = None
    confidence: Confidence | None = None
    iou_threshold: Probability | None = None
    max_detections: Annotated[int, Field(ge=1)] | None = None
    visualize_predictions: bool | None = None


class Model(BaseModel):
    """Which model is meant."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_id: str


def _error(error: SpotterError) -> Response:
    status = error.http_status
    if isinstance(error, UnknownModel):
        status = 404
    elif isinstance(error, PictureError) and status == 422:
        status = 400  # Roboflow's "Could not load input image"
    return _json({"message": error.detail or error.title}, status)


_ERROR = {"type": "object", "required": ["message"]}
router = APIRouter(
    route_class=foreign_route(_error), responses=errors("application/json", _ERROR), tags=["adapter: roboflow"]
)


_MODELS = answers("the loaded models", "models")


@router.get("/info", responses=answers("the server", "name", "version", "uuid"), response_class=Response)
async def info(request: Request, _: Looks) -> Response:
    """Which server this is."""
    return _json({"name": NAME, "version": request.app.version, "uuid": UUID})


@router.get("/model/registry", responses=_MODELS, response_class=Response)
async def registry(state: Shared, _: Looks) -> Response:
    """The loaded models, as `name/version`."""
    return _json({"models": await _models(state)})


@router.post(
    "/model/add", responses=_MODELS, openapi_extra=example({"model_id": "yolov3-tiny/1"}), response_class=Response
)
async def add(asked: Model, state: Shared, _: LooksByBody) -> Response:
    """The loaded models, the one that is asked for under the name that it is asked by. Nothing is loaded by this."""
    models = await _models(state)
    if all(one["model_id"] != asked.model_id for one in models):
        reference = await state.reference(_reference(asked.model_id))
        name, _at, version = reference.partition("@")
        known = await state.known_models()
        meant = f"{name}/{version or (known[name].default if name in known else None)}"
        models += [{**one, "model_id": asked.model_id} for one in models if one["model_id"] == meant]
    return _json({"models": models})


_FOUND = answers("the objects", "predictions", "image", several=True)
_INFER = {"model_id": "yolov3-tiny/1", "image": {"type": "base64", "value": PICTURE}, "confidence": 0.4}


@router.post("/infer/object_detection", responses=_FOUND, openapi_extra=example(_INFER), response_class=Response)
async def infer(asked: Infer, state: Shared, caller: ByBody) -> Response:
    """The objects of one picture or of several: an object, or a list of them."""
    if asked.class_agnostic_nms:
        raise invalid("class_agnostic_nms", "overlaps are settled class by class here: leave it out")
    sent = asked.image if isinstance(asked.image, list) else [asked.image]
    pictures = [_picture(one, state.settings.max_image_bytes) for one in sent]
    confidence = CONFIDENCE if asked.confidence is None else asked.confidence
    options = _options(confidence, asked.iou_threshold, asked.max_detections, asked.class_filter)
    answers = await _found(state, caller, pictures, asked.model_id, options, asked.visualize_predictions or False)
    return _json(answers if isinstance(asked.image, list) else answers[0])


_QUERY = [
    {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
    for name, kind in (
        ("image", "string"), ("confidence", "string"), ("overlap", "string"), ("max_detections", "string"),
        ("classes", "string"), ("format", "string"), ("api_key", "string"),
    )
]  # fmt: skip
_BODY: dict[str, Any] = {
    "parameters": _QUERY,
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "string", "description": "base64"},
                "example": PICTURE,
            },
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
                "example": {"file": BYTES},
            },
        }
    },
}


_LEGACY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the objects; with `format=image` the picture with them",
        "content": {**_FOUND[200]["content"], "image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
    404: {
        "description": "no such model; a path whose second part is not a number is nobody's, and a problem says so",
        "content": {"application/json": {"schema": _ERROR}, **JOB_ANSWERS[404]["content"]},
    },
}


@router.post("/{project}/{version:int}", responses=_LEGACY, openapi_extra=_BODY, response_class=Response)
async def infer_legacy(request: Request, state: Shared, caller: By, project: str, version: int) -> Response:
    """The objects of one picture: base64 as the body whatever its type, a form with `file`, or `?image=` its URL.

    `confidence` and `overlap` are 0..1, or percent from 1 on. `format`: json, image, image_and_json.
    """
    query = request.query_params
    form = query.get("format") or "json"
    if form not in ("json", "image", "image_and_json"):
        raise invalid("format", "must be json, image or image_and_json")
    confidence = query.get("confidence")
    most = number(query.get("max_detections"), "max_detections", MOST, 1, 1_000_000)
    options = _options(
        confidence if confidence in ("best", "default") else _share(confidence, "confidence", CONFIDENCE),
        _share(query.get("overlap"), "overlap", IOU),
        int(most or MOST),
        [name for name in query.get("classes", "").split(",") if name] or None,
    )
    picture = await _sent(request, state.settings.max_image_bytes)
    (answer,) = await _found(state, caller, [picture], f"{project}/{version}", options, form != "json")
    if form == "image":
        return Response(base64.b64decode(answer["visualization"]), media_type="image/jpeg")
    return _json(answer)


async def _sent(request: Request, most: int) -> bytes | str:
    if url := request.query_params.get("image"):
        return url
    if content_type(request.headers) == "multipart/form-data":
        return (await read_form(request)).file("file").data
    return from_base64(await request.body(), "body", most)


def _share(text: str | None, field: str, default: float) -> float:
    value = number(text, field, default, 0, 100)
    assert value is not None
    return value / 100 if value >= 1 else value


def _picture(one: Picture, most: int) -> bytes | str:
    if one.type == "url":
        return one.value
    if one.type == "base64":
        return from_base64(one.value, "image", most)
    raise invalid("image", f"a picture of the type {one.type} is not read: send it as url or base64")


def _options(
    confidence: float | str, iou: float | None, most: int | None, classes: list[str] | None
) -> dict[str, Any]:  # fmt: skip
    """`best` and `default` are the model's own threshold."""
    return {
        "threshold": None if isinstance(confidence, str) else confidence,
        "iou": IOU if iou is None else iou,
        "max_detections": min(most or MOST, THEIR_MOST),
        "classes": classes,
    }


async def _found(
    state: State, caller: Caller, pictures: list[bytes | str], model_id: str | None, options: dict[str, Any], draw: bool
) -> list[dict[str, Any]]:  # fmt: skip
    document = {"options": options, **({"model": _reference(model_id)} if model_id else {})}
    if not draw:
        results = await detections(state, caller, pictures, document)
        return [roboflow(one, observe.job_id.get() or "") for one in results]
    found = await detections_drawn(state, caller, pictures, document)
    return [
        {**roboflow(one, observe.job_id.get() or ""), "visualization": base64.b64encode(data).decode()}
        for one, data in found
    ]


def _reference(model_id: str) -> str:
    name, slash, version = model_id.partition("/")
    return f"{name}@{version}" if slash else name


async def _models(state: State) -> list[dict[str, Any]]:
    return [
        {
            "model_id": f"{one.name}/{one.version}",
            "task_type": "object-detection",
            "batch_size": None,
            "input_height": one.frame[1],
            "input_width": one.frame[0],
        }
        for one in await served(state)
    ]


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")

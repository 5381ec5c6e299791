"""TensorFlow Serving's REST API, with the tensors of the TF Object Detection API's exported models.

`:predict` takes pictures as `{"b64": ...}` or as nested pixels, in rows (`instances`) or columns (`inputs`), and
answers 100 detections a picture, filled up with zeros, as those models do. Labels of versions are our aliases. Sources:
tensorflow/serving `api_rest.md`; tensorflow/models `object_detection/exporter.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.adapters.bodies import from_base64, invalid, read_json
from api.adapters.credentials import key_in
from api.adapters.detecting import detections
from api.adapters.document import errors
from api.adapters.foreign import foreign_route
from api.adapters.pixels import nested_png
from api.formats.coco_ids import are_coco, category_id
from api.keys import Caller
from api.offers import Offer
from api.openapi_examples import PICTURE
from api.scopes import requires
from api.state import Shared, State
from shared.errors import ModelNotFound, RouteNotFound, SpotterError, UnknownModel
from shared.manifest import NAME
from shared.schema import PictureResult
from shared.views import descriptions

KEPT = 100
"""Detections of a picture, as the Object Detection API's exports have them."""
OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
READS = Depends(requires("jobs:read", key_in()))


def _error(error: SpotterError) -> Response:
    status = HTTPStatus.BAD_REQUEST if error.http_status == 422 else error.http_status
    return Response(json.dumps({"error": error.detail}), status, media_type="application/json")


router = APIRouter(
    prefix="/v1/models",
    route_class=foreign_route(_error),
    responses=errors("application/json", {"type": "object", "required": ["error"]}),
    tags=["adapter: TensorFlow Serving"],
)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {"signature_name": "serving_default", "instances": [{"b64": PICTURE}]},
            }
        },
    }
}


@router.post("/{model}:predict", openapi_extra=_BODY)
async def predict(request: Request, state: Shared, caller: By, model: str) -> dict[str, Any]:
    """What the model finds in each picture: `predictions` for `instances`, `outputs` for `inputs`."""
    return await _predicted(request, state, caller, model)


@router.post("/{model}/versions/{version}:predict", openapi_extra=_BODY)
async def predict_by_version(
    request: Request, state: Shared, caller: By, model: str, version: str
) -> dict[str, Any]:  # fmt: skip
    """What this version of the model finds."""
    return await _predicted(request, state, caller, model, version=version)


@router.post("/{model}/labels/{label}:predict", openapi_extra=_BODY)
async def predict_by_label(request: Request, state: Shared, caller: By, model: str, label: str) -> dict[str, Any]:
    """What the version with this label finds."""
    return await _predicted(request, state, caller, model, label=label)


async def _predicted(
    request: Request, state: State, caller: Caller, model: str, version: str | None = None, label: str | None = None
) -> dict[str, Any]:
    reference = _reference(await state.known_models(), model, version, label)
    document = await read_json(request)
    in_rows, tensors = _tensors(document)
    pictures = [await _picture(one, state.settings.max_image_bytes) for one in tensors]
    try:
        results = await detections(state, caller, pictures, {"model": reference, "options": {"max_detections": KEPT}})
    except UnknownModel:
        raise _not_found(model, version) from None
    rows = [_row(result, await _of_coco(state, model, result.version)) for result in results]
    if in_rows:
        return {"predictions": rows}
    return {"outputs": {name: [row[name] for row in rows] for name in OUTPUTS}}


@router.get("/{model}", dependencies=[READS])
async def status(state: Shared, model: str) -> dict[str, list[dict[str, Any]]]:
    """The loaded versions and their state."""
    return await _status(state, model)


@router.get("/{model}/versions/{version}", dependencies=[READS])
async def status_by_version(state: Shared, model: str, version: str) -> dict[str, list[dict[str, Any]]]:
    """The state of this version."""
    return await _status(state, model, version=version)


@router.get("/{model}/labels/{label}", dependencies=[READS])
async def status_by_label(state: Shared, model: str, label: str) -> dict[str, list[dict[str, Any]]]:
    """The state of the version with this label."""
    return await _status(state, model, label=label)


async def _status(
    state: State, model: str, version: str | None = None, label: str | None = None
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    known = await state.known_models()
    asked = _reference(known, model, version, label).partition("@")[2]
    versions = [one for one in known[model].versions if asked in ("", one)] if model in known else []
    if not versions:
        raise ModelNotFound(f"Could not find any versions of model {model}")
    fine = {"error_code": "OK", "error_message": ""}
    shown = [{"version": one, "state": "AVAILABLE", "status": fine} for one in reversed(versions)]
    return {"model_version_status": shown}


@router.get("/{model}/metadata", dependencies=[READS])
async def metadata(state: Shared, model: str) -> dict[str, Any]:
    """The model's tensors, as the one signature that it has."""
    return await _metadata(state, model)


@router.get("/{model}/versions/{version}/metadata", dependencies=[READS])
async def metadata_by_version(state: Shared, model: str, version: str) -> dict[str, Any]:
    """The same of this version."""
    return await _metadata(state, model, version=version)


@router.get("/{model}/labels/{label}/metadata", dependencies=[READS])
async def metadata_by_label(state: Shared, model: str, label: str) -> dict[str, Any]:
    """The same of the version with this label."""
    return await _metadata(state, model, label=label)


async def _metadata(
    state: State, model: str, version: str | None = None, label: str | None = None
) -> dict[str, Any]:  # fmt: skip
    known = await state.known_models()
    asked = _reference(known, model, version, label).partition("@")[2]
    offer = known.get(model)
    shown = asked or (offer.default if offer else None)
    if offer is None or shown not in offer.versions:
        raise _not_found(model, version)
    signature = {
        "inputs": {"input_tensor": _tensor("DT_STRING", "-1")},
        "outputs": {
            "detection_boxes": _tensor("DT_FLOAT", "-1", str(KEPT), "4"),
            "detection_classes": _tensor("DT_FLOAT", "-1", str(KEPT)),
            "detection_scores": _tensor("DT_FLOAT", "-1", str(KEPT)),
            "num_detections": _tensor("DT_FLOAT", "-1"),
        },
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model, "signature_name": "", "version": shown},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


@router.api_route("/{rest:path}", methods=["GET", "POST"], include_in_schema=False, dependencies=[READS])
async def elsewhere(request: Request, rest: str) -> Response:
    """`:classify`, `:regress`, and what is no request at all."""
    raise RouteNotFound(f"Malformed request: {request.method} /v1/models/{rest}")


def _reference(known: Mapping[str, Offer], model: str, version: str | None, label: str | None) -> str:
    """The model as a job names it; a label is looked up at once: an unknown one is no unknown version."""
    if not NAME.fullmatch(model) or (version is not None and not (version.isascii() and version.isdigit())):
        raise _not_found(model, version)
    if label is not None:
        meant = known[model].version(label) if model in known else None
        if meant is None or label.isdigit():
            raise invalid("label", f"Unrecognized servable version label: {label}")
        version = meant
    return f"{model}@{version}" if version is not None else model


def _not_found(model: str, version: str | None) -> ModelNotFound:
    asked = f"Latest({model})" if version is None else f"Specific({model}, {version})"
    return ModelNotFound(f"Servable not found for request: {asked}")


def _tensor(kind: str, *sizes: str) -> dict[str, Any]:
    shape = {"dim": [{"size": size, "name": ""} for size in sizes], "unknown_rank": False}
    return {"dtype": kind, "tensor_shape": shape, "name": ""}


def _tensors(document: Any) -> tuple[bool, list[Any]]:  # noqa: ANN401 - any JSON
    """Whether they came in rows, and the value of the one named input for each picture."""
    given = [name for name in ("instances", "inputs") if isinstance(document, dict) and name in document]
    if len(given) != 1:
        raise invalid("body", "must be an object with `instances` or `inputs`")
    (name,) = given
    found = document[name]
    if name == "inputs" and isinstance(found, dict) and set(found) != {"b64"}:
        (found,) = found.values() if len(found) == 1 else (None,)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not found:
        raise invalid(name, "must be a list of pictures")
    return name == "instances", found


async def _picture(value: Any, most: int) -> bytes:  # noqa: ANN401 - any JSON
    """`{"b64": ...}`, the same under the name of an input, or pixels [height][width][3]."""
    if isinstance(value, dict) and len(value) == 1 and "b64" not in value:
        (value,) = value.values()
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        return from_base64(value["b64"], "b64", most)
    if isinstance(value, list):
        return await asyncio.to_thread(nested_png, value)
    raise invalid("instances", 'a picture must be {"b64": ...} or pixels [height][width][3]')


async def _of_coco(state: State, model: str, version: str | None) -> bool:
    reference = f"{model}@{version}"
    described = (await state.store.run(descriptions([reference]))).get(reference)
    return described is not None and are_coco(described.labels)


def _row(result: PictureResult, of_coco: bool) -> dict[str, Any]:
    """One picture's tensors. Boxes are y1 x1 y2 x2, 0..1; classes are numbers from 1 on, of COCO its own."""
    assert result.image is not None
    width, height = result.image.width, result.image.height
    found = (result.detections or ())[:KEPT]
    boxes = [
        [
            one.box.y / height,
            one.box.x / width,
            (one.box.y + one.box.height) / height,
            (one.box.x + one.box.width) / width,
        ]
        for one in found
    ]
    missing = KEPT - len(found)
    return {
        "detection_boxes": boxes + [[0.0] * 4] * missing,
        "detection_classes": _filled([float(category_id(one.class_id, of_coco)) for one in found], 1.0),
        "detection_scores": _filled([one.confidence for one in found], 0.0),
        "num_detections": float(len(found)),
    }


def _filled(values: Sequence[float], with_: float) -> list[float]:
    return [*values, *([with_] * (KEPT - len(values)))]

"""The Open Inference Protocol v2 (KServe, Triton, Seldon, MLServer) over HTTP: pictures as a tensor in, tensors out.

A model takes one tensor `images`: BYTES of picture files (base64 in JSON), or UINT8 pixels of RGB. Errors are
`{"error": ...}`, with 400 for what is wrong in a request. What is in the tensors: `open_inference_tensors.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.adapters.credentials import key_in
from api.adapters.detecting import detections
from api.adapters.document import errors
from api.adapters.foreign import foreign_route, nothing_there
from api.adapters.open_inference_tensors import LENGTH_HEADER, OUTPUTS, read_inference, unpacked, written
from api.keys import Caller
from api.offers import Offer, offers
from api.openapi_examples import PICTURE
from api.scopes import requires
from api.state import Shared, State
from shared.errors import ModelNotFound, SpotterError, UnknownModel
from shared.manifest import NAME
from shared.reports import REFERENCE, Fleet
from shared.views import fleet

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
READS = Depends(requires("jobs:read", key_in()))


def _error(error: SpotterError) -> Response:
    status = 400 if error.http_status == 422 else error.http_status
    return Response(json.dumps({"error": error.detail}), status, media_type="application/json")


router = APIRouter(
    prefix="/v2",
    route_class=foreign_route(_error),
    responses=errors("application/json", {"type": "object", "required": ["error"]}),
    tags=["adapter: Open Inference Protocol v2"],
)


@router.get("", dependencies=[READS])
async def server(request: Request) -> dict[str, Any]:
    """The server's name, version and extensions."""
    return {"name": "spotter", "version": request.app.version, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """200 while the process answers at all."""
    return {"live": True}


@router.get("/health/ready")
async def ready(state: Shared, response: Response) -> dict[str, bool]:
    """200 when a live worker serves the default model, else 503."""
    offer = (await _served(state)).get(state.settings.default_model)
    is_ready = offer is not None and offer.default is not None
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready}


@router.post("/repository/index", dependencies=[READS])
async def index(state: Shared) -> list[dict[str, str]]:
    """Every loaded version of every model."""
    return [
        {"name": offer.name, "version": version, "state": "READY", "reason": ""}
        for offer in (await _served(state)).values()
        for version in offer.versions
    ]


@router.get("/models/{model}", dependencies=[READS])
async def metadata(state: Shared, model: str) -> dict[str, Any]:
    """The model's versions and tensors; -1 is a length that differs from request to request."""
    return await _metadata(state, model, None)


@router.get("/models/{model}/versions/{version}", dependencies=[READS])
async def metadata_of_version(state: Shared, model: str, version: str) -> dict[str, Any]:
    """The same, where this version is loaded."""
    return await _metadata(state, model, version)


async def _metadata(state: State, model: str, version: str | None) -> dict[str, Any]:
    offer = await _offer(state, model, version)
    outputs = [
        {"name": name, "datatype": kind, "shape": [-1] if name == "num_detections" else [-1, -1, *each]}
        for name, (kind, each) in OUTPUTS.items()
    ]
    inputs = [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
    return {
        "name": offer.name, "versions": list(offer.versions), "platform": "onnxruntime_onnx", "inputs": inputs,
        "outputs": outputs,
    }  # fmt: skip


@router.get("/models/{model}/ready", dependencies=[READS])
async def model_ready(state: Shared, model: str) -> dict[str, Any]:
    """200 when a live worker has it loaded, else 404."""
    return {"name": (await _offer(state, model, None)).name, "ready": True}


@router.get("/models/{model}/versions/{version}/ready", dependencies=[READS])
async def version_ready(state: Shared, model: str, version: str) -> dict[str, Any]:
    """The same of this version."""
    return {"name": (await _offer(state, model, version)).name, "ready": True}


_INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["inputs"]},
                "example": {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [PICTURE]}]},
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the detections as tensors",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/models/{model}/infer", responses=_INFERRED, openapi_extra=_INFER, response_class=Response)
async def infer(request: Request, state: Shared, caller: By, model: str) -> Response:
    """What the model finds. `parameters` may have `threshold`, `iou` and `max_detections`; others say nothing here."""
    return await _inferred(request, state, caller, model, None)


@router.post(
    "/models/{model}/versions/{version}/infer", responses=_INFERRED, openapi_extra=_INFER, response_class=Response
)
async def infer_by_version(request: Request, state: Shared, caller: By, model: str, version: str) -> Response:
    """What this version finds."""
    return await _inferred(request, state, caller, model, version)


async def _inferred(request: Request, state: State, caller: Caller, model: str, version: str | None) -> Response:
    reference = _reference(model, version)
    settings, headers = state.settings, request.headers
    body = unpacked(await request.body(), headers.get("content-encoding", "").lower(), settings.max_body_bytes)
    asked = await asyncio.to_thread(read_inference, body, headers.get(LENGTH_HEADER), settings.max_image_bytes)
    try:
        results = await detections(state, caller, asked.pictures, {"model": reference, "options": asked.options})
    except UnknownModel as error:
        raise ModelNotFound(error.detail) from None
    content, head_length = written(asked, model, results)
    if head_length is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={LENGTH_HEADER: str(head_length)})


@router.api_route("/{rest:path}", methods=["GET", "POST"], include_in_schema=False, dependencies=[READS])
async def elsewhere(request: Request, rest: str) -> Response:
    """What the protocol or one of its extensions has and this service has not."""
    raise nothing_there(request, f"There is no v2/{rest} here.")


def _reference(model: str, version: str | None) -> str:
    reference = f"{model}@{version}" if version is not None else model
    if not (NAME.fullmatch(model) and REFERENCE.fullmatch(reference)):
        raise ModelNotFound(f"No model can be named {reference[:200]!r}.")
    return reference


async def _served(state: State) -> dict[str, Offer]:
    """What live workers have loaded, by model; of others, nothing is ready."""
    seen = await state.store.run(fleet())
    return offers(Fleet(seen.live, {}))


async def _offer(state: State, model: str, version: str | None) -> Offer:
    offer = (await _served(state)).get(model)
    if offer is None or not offer.versions or (version is not None and version not in offer.versions):
        raise ModelNotFound(f"No live worker serves {_reference(model, version)}.")
    return offer

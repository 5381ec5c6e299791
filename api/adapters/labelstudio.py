"""Label Studio's machine-learning backend: tasks and the labelling interface -> predictions in percent of the picture.

Sources: HumanSignal/label-studio-ml-backend (`api.py`, the YOLO example) and Label Studio's `api_connector.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.adapters.bodies import from_base64, invalid
from api.adapters.credentials import key_in
from api.adapters.detecting import address, detect
from api.adapters.document import answers, errors
from api.adapters.foreign import foreign_route
from api.adapters.labelconfig import Boxes, read_boxes
from api.formats.labelstudio import labelstudio
from api.keys import Caller
from api.openapi_examples import PICTURE, example
from api.scopes import requires
from api.state import Shared, State
from shared.errors import InvalidRequest, SpotterError, picture_error
from shared.schema import INLINE_RESULTS, PictureResult
from shared.views import Snapshot, results

JSON = ("application/json",)
MOST = 1000
"""Tasks of one request: what Label Studio sends at once."""
MODEL_CLASS = "Spotter"

By = Annotated[Caller, Depends(requires("jobs:write", key_in()))]
Looks = Annotated[Caller, Depends(requires("jobs:read", key_in()))]


class Task(BaseModel):
    """One task; `data` has the picture's address under the key that the interface names."""

    model_config = ConfigDict(extra="ignore")

    id: int | str | None = None
    data: dict[str, Any]


class Predict(BaseModel):
    """What Label Studio sends to get predictions; the rest of it is read past."""

    model_config = ConfigDict(extra="ignore")

    tasks: Annotated[list[Task], Field(max_length=MOST)]
    label_config: str


class Setup(BaseModel):
    """What Label Studio sends once when a backend is connected. The access token is not kept."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), populate_by_name=True)

    interface: str | None = Field(None, alias="schema")


def _error(error: SpotterError) -> Response:
    return _json({"status": error.http_status, "detail": error.detail or error.title}, error.http_status)


_ERROR = {"type": "object", "required": ["status", "detail"]}
_INTERFACE = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image"><Label value="dog"/>'
    "</RectangleLabels></View>"
)
_PREDICT = {"tasks": [{"id": 1, "data": {"image": f"data:image/png;base64,{PICTURE}"}}], "label_config": _INTERFACE}
router = APIRouter(
    route_class=foreign_route(_error, JSON), responses=errors("application/json", _ERROR), tags=["adapter: labelstudio"]
)


@router.get("/health", responses=answers("it is there", "status", "model_class"), response_class=Response)
async def health(_: Looks) -> Response:
    """Whether the backend is there."""
    return _json({"status": "UP", "model_class": MODEL_CLASS})


@router.post(
    "/setup",
    responses=answers("the version", "model_version"),
    openapi_extra=example({"project": "1.1", "schema": _INTERFACE}),
    response_class=Response,
)
async def setup(asked: Setup, state: Shared, _: Looks) -> Response:
    """The version that predictions will carry. An interface that has no place for boxes is refused here already."""
    if asked.interface:
        read_boxes(asked.interface)
    return _json({"model_version": await _version(state)})


@router.post(
    "/webhook",
    responses=answers("taken note of", "status", status=201),
    openapi_extra=example({"action": "ANNOTATION_CREATED"}),
    status_code=201,
    response_class=Response,
)
async def webhook(event: dict[str, Any], _: Looks) -> Response:
    """What happened in Label Studio. Nothing is trained here, so nothing follows from it."""
    return _json({"result": {}, "status": "ok"}, 201)


@router.post(
    "/predict",
    responses=answers("a prediction for each task", "results"),
    openapi_extra=example(_PREDICT),
    response_class=Response,
)
async def predict(asked: Predict, state: Shared, caller: By) -> Response:
    """A prediction for each task, in order; all tasks are one job.

    A task that has none says why in `error`. Where no task has one, the answer is the first one's error.
    """
    boxes = read_boxes(asked.label_config)
    found = [_picture(task, boxes.key, state.settings.max_image_bytes) for task in asked.tasks]
    pictures = [one for one in found if not isinstance(one, InvalidRequest)]
    refused = [one for one in found if isinstance(one, InvalidRequest)]
    if not pictures:
        if refused:
            raise refused[0]
        return _json({"results": []})
    options = {"threshold": boxes.threshold, "max_detections": INLINE_RESULTS}
    snapshot = await detect(state, caller, pictures, {"options": options}, most=MOST)
    every = await _every(state, snapshot)
    if not refused and all(one.error for one in every):
        raise picture_error(every[0].error.code, every[0].error.detail)  # type: ignore[union-attr]
    answered = iter(every)
    version = await _version(state)
    rows = [
        _failed(one.detail, version) if isinstance(one, InvalidRequest) else _prediction(next(answered), boxes, version)
        for one in found
    ]
    return _json({"results": rows, "model_version": version})


def _picture(task: Task, key: str, most: int) -> bytes | str | InvalidRequest:
    """The picture of a task, or why there is none."""
    sent = task.data.get(key)
    name = f"task {task.id}" if task.id is not None else "a task"
    if not isinstance(sent, str) or not sent:
        return invalid(f"data.{key}", f"{name} has no address of a picture there")
    if sent.startswith("data:"):
        try:
            return from_base64(sent, f"data.{key}", most)
        except InvalidRequest as error:
            return error
    try:
        address(sent)
        return sent
    except ValidationError:
        pass
    return invalid(
        f"data.{key}",
        f"{name} has its picture at {sent[:100]!r}, which only Label Studio itself can read: give tasks http(s)"
        " addresses or s3:// ones, such as those of a cloud storage",
    )


async def _every(state: State, snapshot: Snapshot) -> Sequence[PictureResult]:
    if snapshot.view.results is not None:
        return snapshot.view.results
    total = snapshot.spec.total
    pages = [
        await state.store.run(results(snapshot, first, INLINE_RESULTS)) for first in range(0, total, INLINE_RESULTS)
    ]
    return [one for page in pages for one in page]


def _prediction(result: PictureResult, boxes: Boxes, version: str) -> dict[str, Any]:
    """Of what the interface has labels for."""
    if result.error is not None:
        return _failed(result.error.detail, version)
    kept = [
        one.model_copy(update={"label": called})
        for one in result.detections or ()
        if (called := boxes.label(one.label)) is not None
    ]
    return labelstudio(result.model_copy(update={"detections": tuple(kept)}), version, boxes.from_name, boxes.to_name)


def _failed(why: str, version: str) -> dict[str, Any]:
    """Label Studio passes over what has no regions and does not know `error`; people who look at the answer do."""
    return {"model_version": version, "score": 0.0, "result": [], "error": why}


async def _version(state: State) -> str:
    """What Label Studio groups predictions by: `name@version` of the default model."""
    name = state.settings.default_model
    known = await state.known_models()
    version = known[name].default if name in known else None
    return f"{name}@{version}" if version else name


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")

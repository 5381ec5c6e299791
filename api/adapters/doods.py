"""DOODS (snowzach/doods, doods2): a JSON request with confidences 0..100 by label, for the picture and its regions
-> boxes 0..1 of the picture. Streams and web sockets are not answered.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from api.adapters.bodies import from_base64, invalid
from api.adapters.credentials import in_header, key_in
from api.adapters.detecting import detections, detections_drawn, drawn
from api.adapters.document import answers, errors
from api.adapters.foreign import foreign_route
from api.adapters.served import default_versions
from api.keys import Caller
from api.openapi_examples import PICTURE, example
from api.scopes import requires
from api.state import Shared
from shared.errors import SpotterError
from shared.schema import Detection, PictureResult

ANY = "*"
DEFAULT = "default"
"""The detector where none is named; it is the default model."""
JPEG = frozenset({"true", ".jpg", "jpg", "jpeg", "image/jpeg"})
"""What `image` may say."""
JSON = ("application/json",)

Percent = Annotated[float, Field(ge=0, le=100)]
Rules = Annotated[dict[str, Percent], Field(max_length=1000)]
Share = Annotated[float, Field(allow_inf_nan=False)]
Key = key_in(in_header("doods-auth-key"))
By = Annotated[Caller, Depends(requires("jobs:write", Key))]
Looks = Annotated[Caller, Depends(requires("jobs:read", Key))]


class Region(BaseModel):
    """A part of the picture with rules of its own; edges 0..1. `covers`: only for what lies wholly inside it."""

    top: Share
    left: Share
    bottom: Share
    right: Share
    detect: Rules = {}
    covers: bool = False
    id: str | None = None


class DetectRequest(BaseModel):
    """DOODS's detect request. `data`: base64 or a URL; `detect`: smallest confidence by label, `*` for others."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    detector_name: str | None = None
    data: str = ""
    image: str | None = None
    preprocess: Annotated[list[str], Field(max_length=16)] = []
    detect: Rules = {}
    regions: Annotated[list[Region], Field(max_length=100)] = []


def _error(error: SpotterError) -> Response:
    # DOODS says 400 to everything that it cannot do; what it does not know (keys, overload) keeps its own status.
    status = 400 if error.http_status == 422 else error.http_status
    return _json({"detections": [], "error": error.detail or error.title}, status)


_ERROR = {"type": "object", "required": ["detections", "error"]}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "the picture with its objects", "content": {"image/jpeg": {"schema": {"type": "string"}}}}
}
_EXAMPLE = example({"detector_name": DEFAULT, "data": PICTURE, "detect": {"dog": 60, ANY: 40}})
router = APIRouter(
    route_class=foreign_route(_error, JSON), responses=errors("application/json", _ERROR), tags=["adapter: doods"]
)


@router.get("/detectors", responses=answers("the models", "detectors"), response_class=Response)
async def detectors(state: Shared, _: Looks) -> Response:
    """The models, with their labels and frames; `default` is the default model under its second name."""
    found = [(one.name, one) for one in await default_versions(state)]
    if found and found[0][0] == state.settings.default_model:
        found.insert(0, (DEFAULT, found[0][1]))
    rows = [
        {
            "name": name, "type": one.family, "model": one.reference, "labels": one.labels,
            "width": one.frame[0], "height": one.frame[1],
        }
        for name, one in found
    ]  # fmt: skip
    return _json({"detectors": rows})


@router.post(
    "/detect", responses=answers("what passes the rules", "detections"), openapi_extra=_EXAMPLE, response_class=Response
)
async def detect(asked: DetectRequest, state: Shared, caller: By) -> Response:
    """What passes the rules, strongest first; with `image` the drawn picture as base64, too."""
    picture, document = _job(asked, state.settings.max_image_bytes)
    answer: dict[str, Any] = {} if asked.id is None else {"id": asked.id}
    if asked.image:
        ((result, data),) = await detections_drawn(state, caller, [picture], document)
        answer["image"] = base64.b64encode(data).decode()
    else:
        (result,) = await detections(state, caller, [picture], document)
    return _json(answer | {"detections": list(passed(result, asked))})


@router.post("/image", responses=_JPEG, openapi_extra=_EXAMPLE, response_class=Response)
async def image(asked: DetectRequest, state: Shared, caller: By) -> Response:
    """The picture with its objects drawn on it. What only a region's rules leave out is drawn, too."""
    picture, document = _job(asked, state.settings.max_image_bytes)
    return Response(await drawn(state, caller, picture, document), media_type="image/jpeg")


def _job(asked: DetectRequest, most_bytes: int) -> tuple[bytes | str, dict[str, Any]]:
    """The picture and the job's document. Raises InvalidRequest: something that Spotter does not do."""
    if asked.preprocess:
        raise invalid("preprocess", "not done here: send the picture as it is to be looked at")
    if asked.image and asked.image not in JPEG:
        raise invalid("image", "a drawn picture is given as jpeg only")
    picture: bytes | str = asked.data
    if not asked.data.startswith(("http://", "https://")):
        if "://" in asked.data[:16]:
            raise invalid("data", "streams are not read: send a picture as base64, or its http(s) address")
        picture = from_base64(asked.data, "data", most_bytes)
    document: dict[str, Any] = {"options": options([asked.detect, *(one.detect for one in asked.regions)])}
    if asked.detector_name and asked.detector_name != DEFAULT:
        document["model"] = asked.detector_name
    return picture, document


def options(rules: Sequence[Rules]) -> dict[str, Any]:
    """What the worker has to find so that nothing is missing which one of these sets of rules may let through."""
    least: dict[str, float] = {}
    for one in rules:
        for label, percent in one.items():
            least[label] = min(least.get(label, 100.0), percent)
    rest = least.pop(ANY, None)
    shares = {label: percent / 100 for label, percent in least.items()}
    if rest is None:  # also without any rule: nothing is asked for, so nothing comes
        return {"classes": list(shares), "thresholds": shares}
    # A set with `*` alone lets a label through that another set is stricter with.
    for one in rules:
        if ANY in one:
            shares |= {label: min(share, one[ANY] / 100) for label, share in shares.items() if label not in one}
    return {"threshold": rest / 100, "thresholds": shares}


def passed(result: PictureResult, asked: DetectRequest) -> Iterator[dict[str, Any]]:
    """The detections that a rule lets through, in DOODS's form. The rules of the whole picture come before regions."""
    assert result.image is not None
    width, height = result.image.width, result.image.height
    for one in result.detections or ():
        box = one.box
        place = {
            "top": box.y / height, "left": box.x / width,
            "bottom": (box.y + box.height) / height, "right": (box.x + box.width) / width,
        }  # fmt: skip
        found = {**place, "label": one.label, "confidence": one.confidence * 100}
        if _lets_through(asked.detect, one):
            yield found
            continue
        region = next((r for r in asked.regions if _concerns(r, place) and _lets_through(r.detect, one)), None)
        if region is not None:
            yield found if region.id is None else {"region_id": region.id, **found}


def _lets_through(rules: Rules, one: Detection) -> bool:
    """A label's own rule counts alone; `*` is for labels without one."""
    least = rules.get(one.label, rules.get(ANY))
    return least is not None and one.confidence >= least / 100


def _concerns(region: Region, place: Mapping[str, float]) -> bool:
    if region.covers:
        return (
            region.top <= place["top"] and region.left <= place["left"]
            and region.bottom >= place["bottom"] and region.right >= place["right"]
        )  # fmt: skip
    return (
        place["top"] <= region.bottom and place["left"] <= region.right
        and place["bottom"] >= region.top and place["right"] >= region.left
    )  # fmt: skip


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")

"""TensorFlow Serving's REST API: the calls and answers of its own page, and the tensors of the Object Detection API."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from shared.schema import Box, Detection, ImageSize, PictureResult
from tests.api.adapters.conftest import BusyWorker
from tests.api.conftest import Serve
from tests.shared.store_samples import bad

CLOCK = Detection(label="clock", class_id=1, confidence=0.9963208436965942, box=Box(x=64, y=120, width=320, height=320))
"""In a picture of 640 x 480: y1 x1 y2 x2 = 120/480, 64/640, 440/480, 384/640."""
B64 = {"b64": base64.b64encode(b"picture").decode()}


@pytest.fixture
def api(serve: Serve, worker: Any, busy: BusyWorker) -> httpx.Client:
    worker.announce("m", aliases={"stable": "1"})
    busy.answer = lambda held: PictureResult(
        index=held.index, status="succeeded", version="1", image=ImageSize(width=640, height=480), detections=(CLOCK,)
    )
    return serve(adapters=("tf_serving",))


ROW = {
    "detection_boxes": [[0.25, 0.1, 0.9166666666666666, 0.6]] + [[0.0] * 4] * 99,
    "detection_classes": [2.0] + [1.0] * 99,
    "detection_scores": [0.9963208436965942] + [0.0] * 99,
    "num_detections": 1.0,
}


@pytest.mark.parametrize("path", ["m", "m/versions/1", "m/labels/stable"])
def test_rows_are_answered_in_rows(api: httpx.Client, path: str) -> None:
    sent = {"signature_name": "serving_default", "instances": [B64, {"image_bytes": B64}]}
    answer = api.post(f"/v1/models/{path}:predict", json=sent)
    assert answer.json() == {"predictions": [ROW, ROW]}


@pytest.mark.parametrize("inputs", [[B64], B64, {"input_tensor": [B64]}, {"input_tensor": B64}])
def test_columns_are_answered_in_columns(api: httpx.Client, inputs: Any) -> None:
    answer = api.post("/v1/models/m:predict", json={"inputs": inputs})
    assert answer.json() == {"outputs": {name: [values] for name, values in ROW.items()}}


def test_pixels_are_pictures_too(api: httpx.Client, busy: BusyWorker) -> None:
    pixels = [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 255]]]
    assert api.post("/v1/models/m:predict", json={"instances": [pixels]}).status_code == 200
    with Image.open(io.BytesIO(busy.seen[0].data or b"")) as image:
        assert (image.size, list(image.tobytes())) == ((2, 2), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255])


def test_the_status_is_that_of_its_page(api: httpx.Client) -> None:
    fine = {"error_code": "OK", "error_message": ""}
    status = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": fine}]}
    for path in ("m", "m/versions/1", "m/labels/stable"):
        assert api.get(f"/v1/models/{path}").json() == status
    metadata = api.get("/v1/models/m/metadata").json()
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["outputs"]["detection_boxes"]["tensor_shape"]["dim"][1]["size"] == "100"


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "half:predict", 404, "Servable not found for request: Latest(half)"),
        ("POST", "m/versions/7:predict", 404, "Servable not found for request: Specific(m, 7)"),
        ("POST", "m/labels/canary:predict", 400, "label: Unrecognized servable version label: canary."),
        ("POST", "m:regress", 404, "Malformed request: POST /v1/models/m:regress"),
        ("GET", "half", 404, "Could not find any versions of model half"),
        ("GET", "m/versions/7", 404, "Could not find any versions of model m"),
        ("GET", "half/metadata", 404, "Servable not found for request: Latest(half)"),
    ],
)
def test_what_is_not_there_is_said_in_its_words(
    api: httpx.Client, method: str, path: str, status: int, error: str
) -> None:  # fmt: skip
    answer = api.request(method, f"/v1/models/{path}", json={"instances": [B64]} if method == "POST" else None)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    "sent",
    [
        [],
        {},
        {"instances": [B64], "inputs": [B64]},
        {"instances": []},
        {"instances": ["picture"]},
        {"instances": [1.0, 2.0, 5.0]},
        {"instances": [{"b64": "*"}]},
        {"instances": [{"b64": 7}]},
        {"inputs": {"one": [B64], "two": [B64]}},
        {"instances": [[[[0, 1, 256]]]]},
        {"instances": [[[[0, 1]]]]},
        {"instances": [[[[0, 1, 2]], [[0, 1, 2], [3, 4, 5]]]]},
        {"instances": [[[]]]},
        {"instances": [[{}]]},
    ],
)
def test_what_is_wrong_is_said_with_400(api: httpx.Client, sent: Any) -> None:
    answer = api.post("/v1/models/m:predict", json=sent)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


def test_a_damaged_picture_and_no_json_are_errors_of_the_request(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: bad()
    answer = api.post("/v1/models/m:predict", json={"instances": [B64]})
    assert (answer.status_code, answer.json()) == (400, {"error": "It is not a picture."})
    assert api.post("/v1/models/m:predict", content=b"{").json() == {"error": "The body is not JSON."}
    assert api.delete("/v1/models/m").json().keys() == {"error"}

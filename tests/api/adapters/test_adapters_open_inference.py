"""The Open Inference Protocol v2 against tritonclient, and by hand where that client would not send it."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from api.adapters.pixels import png
from shared.errors import InvalidRequest
from shared.schema import Box, Claim, Detection, PictureResult
from shared.store import JobStore
from tests.api.adapters.conftest import BusyWorker
from tests.api.conftest import Serve
from tests.api.test_owners import make_key
from tests.foreign_clients import needs_foreign, run_foreign
from tests.shared.store_samples import bad

DOG = Path(__file__).parent.parent.parent / "pictures" / "dog.jpg"
FOUND = (
    Detection(label="dog", class_id=0, confidence=0.75, box=Box(x=10.5, y=20, width=30, height=40.25)),
    Detection(label="cat", class_id=1, confidence=0.5, box=Box(x=0, y=0, width=8, height=4)),
)
BOXES = [[10.5, 20.0, 40.5, 60.25], [0.0, 0.0, 8.0, 4.0]]


def fewer_each_time(held: Claim) -> PictureResult:
    return PictureResult(index=held.index, status="succeeded", version="1", detections=FOUND[: 2 - held.index])


@pytest.fixture
def finds(busy: BusyWorker) -> BusyWorker:
    busy.answer = fewer_each_time
    return busy


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("open_inference",))


@needs_foreign
@pytest.mark.parametrize("auth", ["off", "keys"])
def test_tritonclient_gets_what_it_asks_for(serve: Serve, store: JobStore, finds: BusyWorker, auth: str) -> None:
    api = serve(adapters=("open_inference",), auth=auth)
    key = make_key(store, "shop") if auth == "keys" else ""
    told = run_foreign("triton_client", f"127.0.0.1:{api.base_url.port}", DOG, "m", key)
    assert (told["live"], told["ready"], told["model_ready"]) == (True, True, [True, True, False])
    assert told["server"]["name"] == "spotter"
    assert told["server"]["extensions"] == ["binary_tensor_data"]
    assert (told["model"]["name"], told["model"]["versions"]) == ("m", ["1"])
    assert told["model"]["inputs"] == [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
    assert told["index"] == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]
    assert told["response"] == {"id": "mine", "model_name": "m", "model_version": "1"}
    assert told["binary"] == {
        "boxes": ["float32", [BOXES, [BOXES[0], [0.0] * 4]]],
        "scores": ["float32", [[0.75, 0.5], [0.75, 0.0]]],
        "class_ids": ["int32", [[0, 1], [0, -1]]],
        "labels": ["object", [["dog", "cat"], ["dog", ""]]],
        "num_detections": ["int32", [2, 1]],
    }
    assert told["json"] == {"boxes": ["float32", [BOXES]], "labels": ["object", [["dog", "cat"]]]}
    assert told["packed"] == [told["pixels"]] * 2
    assert told["refused"][0] == "404"
    assert "nowhere" in told["refused"][1]
    assert [held.data for held in finds.seen if held.data != DOG.read_bytes()] == [png(3, 2, bytes(range(18)))]
    assert finds.seen[0].job.options.threshold == 0.3
    assert {held.job.owner for held in finds.seen} == {"shop" if key else "default"}


def tensor(**changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(b"picture").decode()]
    return {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": data} | changes]}


def test_json_alone_needs_no_extension(api: httpx.Client, finds: BusyWorker) -> None:
    answer = api.post("/v2/models/m/infer", json=tensor() | {"id": "7"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "boxes", "datatype": "FP32", "shape": [1, 2, 4], "data": [*BOXES[0], *BOXES[1]]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.75, 0.5]},
            {"name": "class_ids", "datatype": "INT32", "shape": [1, 2], "data": [0, 1]},
            {"name": "labels", "datatype": "BYTES", "shape": [1, 2], "data": ["dog", "cat"]},
            {"name": "num_detections", "datatype": "INT32", "shape": [1], "data": [2]},
        ],
    }
    nested = tensor(datatype="UINT8", shape=[1, 1, 2, 3], data=[[[[0, 1, 2], [3, 4, 255]]]])
    assert api.post("/v2/models/m/infer", json=nested).status_code == 200
    assert finds.seen[1].data == png(2, 1, bytes([0, 1, 2, 3, 4, 255]))


NESTED: Any = []
for _ in range(500):
    NESTED = [NESTED]
WRONG: dict[str, Any] = {
    "not an object": [],
    "no inputs": {},
    "two inputs": {"inputs": tensor()["inputs"] * 2},
    "another datatype": tensor(datatype="FP32"),
    "a shape of texts": tensor(shape=["1"]),
    "a shape of truth": tensor(shape=[True]),
    "a negative shape": tensor(shape=[-1]),
    "five dimensions": tensor(shape=[1, 1, 1, 1, 1]),
    "two pictures said": tensor(shape=[2]),
    "no pictures": tensor(shape=[0], data=[]),
    "no base64": tensor(data=["*"]),
    "a number": tensor(data=[7]),
    "deep": tensor(data=NESTED),
    "pixels of 256": tensor(datatype="UINT8", shape=[1, 1, 3], data=[0, 0, 256]),
    "too few pixels": tensor(datatype="UINT8", shape=[1, 2, 3], data=[0, 0, 0]),
    "four colours": tensor(datatype="UINT8", shape=[1, 1, 4], data=[0, 0, 0, 0]),
    "empty pixels": tensor(datatype="UINT8", shape=[1, 0, 0, 3], data=[]),
    "no binary values": tensor(parameters={"binary_data_size": 7}),
    "an unknown output": tensor() | {"outputs": [{"name": "masks"}]},
    "outputs of texts": tensor() | {"outputs": ["boxes"]},
    "parameters": tensor() | {"parameters": []},
    "a threshold": tensor() | {"parameters": {"threshold": 2}},
    "an id": tensor() | {"id": 7},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_with_400(api: httpx.Client, finds: BusyWorker, what: str) -> None:
    answer = api.post("/v2/models/m/infer", json=WRONG[what])
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/m/versions/7", 404),
        ("GET", "/v2/models/M%20", 404),
        ("GET", "/v2/models/m/config", 404),
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/models/m/versions/one/infer", 404),
        ("POST", "/v2/systemsharedmemory/region/x/register", 404),
        ("DELETE", "/v2/models/m", 405),
    ],
)
def test_what_is_not_there_is_said_so(
    api: httpx.Client, finds: BusyWorker, method: str, path: str, status: int
) -> None:  # fmt: skip
    answer = api.request(method, path, json=tensor() if method == "POST" else None)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_a_damaged_picture_is_an_error_of_the_request(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: bad()
    answer = api.post("/v2/models/m/infer", json=tensor())
    assert (answer.status_code, answer.json()) == (400, {"error": "It is not a picture."})


def test_nothing_is_ready_without_a_live_worker(api: httpx.Client) -> None:
    answer = api.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert api.get("/v2/health/live").json() == {"live": True}


HEAD = json.dumps(
    {"inputs": [{"name": "i", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 11}}]}
).encode()
PICTURE = struct.pack("<I", 7) + b"picture"


@pytest.mark.parametrize(
    ("length", "tail"),
    [
        ("-1", PICTURE),
        ("9" * 5000, PICTURE),  # more digits than Python reads
        ("x", PICTURE),
        (str(len(HEAD) + 100), PICTURE),
        (str(len(HEAD)), PICTURE[:-1]),
        (str(len(HEAD)), struct.pack("<I", 8) + b"picture"),
        (str(len(HEAD)), struct.pack("<I", 0) + b"picture"),
        (str(len(HEAD)), b"\1" * 11),
    ],
)
def test_a_binary_tensor_that_does_not_fit_is_refused(
    api: httpx.Client, finds: BusyWorker, length: str, tail: bytes
) -> None:  # fmt: skip
    headers = {"Inference-Header-Content-Length": length}
    answer = api.post("/v2/models/m/infer", content=HEAD + tail, headers=headers)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    whole = {"Inference-Header-Content-Length": str(len(HEAD))}
    assert api.post("/v2/models/m/infer", content=HEAD + PICTURE, headers=whole).status_code == 200
    assert finds.seen[-1].data == b"picture"


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", b"", 415),
        ("gzip", b"no gzip", 415),
        ("gzip", zlib.compress(b"{}")[:-4], 415),
        ("gzip", zlib.compress(b" " * 9_000_000), 413),
    ],
)
def test_a_packed_body_is_bounded(serve: Serve, finds: BusyWorker, encoding: str, body: bytes, status: int) -> None:
    api = serve(adapters=("open_inference",), max_body_bytes=8_000_000, max_image_bytes=8_000_000)
    answer = api.post("/v2/models/m/infer", content=body, headers={"content-encoding": encoding})
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_pixels_come_out_of_the_png_again(width: int, height: int, data: st.DataObject) -> None:
    rgb = data.draw(st.binary(min_size=width * height * 3, max_size=width * height * 3))
    with Image.open(io.BytesIO(png(width, height, rgb))) as image:
        assert (image.size, image.mode, image.tobytes()) == ((width, height), "RGB", rgb)
    with pytest.raises(InvalidRequest):
        png(width, height, rgb + b"\0")

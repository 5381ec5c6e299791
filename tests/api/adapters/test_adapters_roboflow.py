"""Roboflow's inference server: both ways to ask, the registry that its client reads, and its errors."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from shared.store import JobStore
from tests.api.adapters.conftest import DRAWN, BusyWorker
from tests.api.adapters.samples import found, three, unreadable
from tests.api.conftest import Serve, Worker
from tests.api.test_owners import make_key

PATH = "/infer/object_detection"
IMAGE = base64.b64encode(b"picture").decode()
ASKED: dict[str, Any] = {"model_id": "m/1", "image": {"type": "base64", "value": IMAGE}}


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("roboflow",))


def test_boxes_have_their_centre(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer, busy.model = three, "m@1"
    body = api.post(PATH, json=ASKED).json()
    assert body["image"] == {"width": 400, "height": 200}
    assert body["time"] == 0.03
    dog = body["predictions"][0]
    assert (dog.pop("detection_id"), body["inference_id"]) != ("", "")
    assert dog == {
        "x": 200, "y": 100, "width": 200, "height": 100, "confidence": 0.9, "class": "dog", "class_id": 0,
    }  # fmt: skip
    assert "visualization" not in body
    options = busy.seen[0].job.options
    assert (options.threshold, options.iou, options.max_detections, options.classes) == (0.4, 0.3, 300, None)


def test_several_pictures_are_a_list_and_options_are_read(api: httpx.Client, busy: BusyWorker) -> None:
    image = [ASKED["image"], {"type": "url", "value": "https://example.com/dog.jpg"}]
    more = {"confidence": "best", "iou_threshold": 0.6, "max_detections": 5000, "class_filter": ["dog"], "source": "x"}
    body = api.post(PATH, json={"image": image, **more}).json()
    assert [one["predictions"] for one in body] == [[], []]
    assert body[0]["inference_id"] != body[1]["inference_id"]
    options = busy.seen[0].job.options
    assert (options.threshold, options.iou, options.max_detections, options.classes) == (None, 0.6, 1000, ("dog",))


def test_visualization(api: httpx.Client, busy: BusyWorker) -> None:
    body = api.post(PATH, json={"image": ASKED["image"], "visualize_predictions": True}).json()
    assert base64.b64decode(body["visualization"]) == DRAWN


@pytest.mark.parametrize(
    "sent",
    [
        {"content": IMAGE, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"content": IMAGE, "headers": {"content-type": "application/json"}},
        {"content": f"data:image/jpeg;base64,{IMAGE}"},
        {"files": {"file": b"picture"}},
    ],
)
def test_the_older_way_takes_the_picture_as_the_body(api: httpx.Client, busy: BusyWorker, sent: dict[str, Any]) -> None:
    busy.answer, busy.model = three, "m@1"
    answer = api.post("/m/1", params={"confidence": "40", "overlap": "30"}, **sent)
    assert [one["class"] for one in answer.json()["predictions"]] == ["dog", "cat", "motorbike"]
    (held,) = busy.seen
    assert (held.data, held.job.options.threshold, held.job.options.iou) == (b"picture", 0.4, 0.3)


def test_the_older_way_takes_a_url_and_gives_a_picture(api: httpx.Client, busy: BusyWorker) -> None:
    busy.model = "m@1"
    query = {"image": "https://example.com/dog.jpg", "format": "image", "confidence": "0.25", "classes": "dog,cat"}
    answer = api.post("/m/1", params=query)
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", DRAWN)
    options = busy.seen[0].job.options
    assert (options.threshold, options.classes) == (0.25, ("dog", "cat"))


def test_what_the_client_asks_before(api: httpx.Client, worker: Worker) -> None:
    worker.announce("m", versions=("1", "2"), default="1", aliases={"new": "2"})
    assert set(api.get("/info").json()) == {"name", "version", "uuid"}
    first, second = (
        {"model_id": f"m/{k}", "task_type": "object-detection", "batch_size": None, "input_height": 416,
         "input_width": 416}
        for k in (1, 2)
    )  # fmt: skip
    assert api.get("/model/registry?api_key=None").json() == {"models": [first, second]}
    assert api.post("/model/add", json={"model_id": "m/1"}).json()["models"] == [first, second]
    named = api.post("/model/add", json={"model_id": "m/new"}).json()["models"]
    assert named == [first, second, {**second, "model_id": "m/new"}]
    assert api.post("/model/add", json={"model_id": "coco/3"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "sent", "status", "said"),
    [
        (PATH, {"json": ASKED | {"model_id": "coco/3"}}, 404, "coco@3"),
        (PATH, {"json": ASKED | {"model_id": "no such/1"}}, 422, "model"),
        (PATH, {"json": ASKED | {"class_agnostic_nms": True}}, 422, "class_agnostic_nms"),
        (PATH, {"json": ASKED | {"image": {"type": "numpy", "value": "x"}}}, 422, "numpy"),
        (PATH, {"json": ASKED | {"confidence": 3}}, 422, "confidence"),
        (PATH, {"json": ASKED | {"image": []}}, 422, "image"),
        (PATH, {"content": b"{", "headers": {"content-type": "application/json"}}, 422, "send it again"),
        ("/coco/3", {"content": IMAGE}, 404, "coco@3"),
        ("/m/1", {"content": b""}, 422, "body"),
        ("/m/1?format=xml", {"content": IMAGE}, 422, "format"),
        ("/m/1?confidence=nan", {"content": IMAGE}, 422, "confidence"),
        ("/m/1", {"files": {"image": b"picture"}}, 422, "file"),
    ],
)
def test_errors_are_roboflows(
    api: httpx.Client, busy: BusyWorker, path: str, sent: dict[str, Any], status: int, said: str
) -> None:
    answer = api.post(path, **sent)
    assert answer.status_code == status
    assert said in answer.json()["message"]


def test_a_picture_that_cannot_be_read(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = unreadable
    answer = api.post(PATH, json={"image": ASKED["image"]})
    assert (answer.status_code, answer.json()) == (400, {"message": "It is not a picture."})


def test_paths_of_our_own_stay_ours(api: httpx.Client) -> None:
    assert api.post("/jobs/none/cancel").json()["code"] == "job_not_found"
    assert api.post("/models/m").json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("place", ["header", "query", "body"])
def test_the_key_has_three_places(serve: Serve, store: JobStore, busy: BusyWorker, place: str) -> None:
    api = serve(adapters=("roboflow",), auth="keys")
    busy.answer = lambda held: found(held.index)
    key = make_key(store, "shop")
    sent: dict[str, Any] = {
        "header": {"headers": {"authorization": f"Bearer {key}"}},
        "query": {"params": {"api_key": key}},
        "body": {"json": {"image": ASKED["image"], "api_key": key}},
    }[place]
    assert api.post(PATH, **({"json": {"image": ASKED["image"]}} | sent)).status_code == 200
    assert busy.seen[0].job.owner == "shop"
    refused = api.post(PATH, json={"image": ASKED["image"], "api_key": None})
    assert (refused.status_code, list(refused.json())) == (401, ["message"])

"""DeepStack and CodeProject.AI: the form that their clients send, the answer and the errors that these read."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from shared.store import JobStore
from tests.api.adapters.conftest import BusyWorker
from tests.api.adapters.samples import found, seen, three, unreadable
from tests.api.conftest import Serve
from tests.api.test_owners import make_key

PATH = "/v1/vision/detection"
IMAGE = {"image": b"picture"}


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("deepstack",))


def test_the_answer_has_whole_pixels_and_the_names_of_coco(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    answer = api.post(PATH, files=IMAGE)
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    assert body["predictions"] == [
        {"confidence": 0.9, "label": "dog", "x_min": 100, "y_min": 50, "x_max": 300, "y_max": 150},
        {"confidence": 0.55, "label": "cat", "x_min": 0, "y_min": 0, "x_max": 41, "y_max": 20},
        {"confidence": 0.5, "label": "motorcycle", "x_min": 300, "y_min": 100, "x_max": 400, "y_max": 200},
    ]
    assert body["duration"] == 0.03
    assert (body["count"], body["code"], body["command"]) == (3, 200, "detect")
    assert body["message"] == "Found dog, cat, motorcycle"
    assert (body["inferenceMs"], body["processMs"], body["analysisRoundTripMs"]) == (20, 25, 30)
    assert parsedate_to_datetime(body["timestampUTC"]).year >= 2026


def test_what_is_asked_of_the_worker(api: httpx.Client, busy: BusyWorker) -> None:
    assert api.post(PATH, files=IMAGE).json()["message"] == "No objects found"
    assert api.post(PATH, files=IMAGE, data={"min_confidence": "0.7", "api_key": ""}).json()["count"] == 0
    assert api.post("/v1/vision/custom/M", files={"image": b"another"}).json()["command"] == "custom"
    options = [(held.job.options.threshold, held.job.options.max_detections) for held in busy.seen]
    assert options == [(0.4, 20), (0.7, 20), (0.4, 20)]
    assert busy.seen[0].data == b"picture"


def test_more_than_three_labels_are_cut_off(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: found(held.index, *(seen("dog", 0, 0.9 - k / 100, 0, 0, 10, 10) for k in range(30)))
    body = api.post(PATH, files=IMAGE).json()
    assert (body["count"], len(body["predictions"]), body["message"]) == (20, 20, "Found dog, dog, dog...")


def frigate(predictions: list[dict[str, Any]], labels: dict[int, str]) -> list[tuple[int, float]]:
    """What Frigate's plugin keeps, by its rules: it stops at the first that is weak or unknown; trucks are cars."""
    kept = []
    for one in predictions:
        label = "car" if one["label"].lower() == "truck" else one["label"].lower()
        number = next((k for k, name in labels.items() if name == label), -1)
        if one["confidence"] < 0.4 or number < 0:
            break
        kept.append((number, one["confidence"]))
    assert len(predictions) <= 20, "its array has 20 rows"
    return kept


def test_frigate_loses_nothing(api: httpx.Client, busy: BusyWorker) -> None:
    labels = {0: "person", 2: "car", 3: "motorcycle", 15: "cat", 16: "dog"}
    busy.answer = three
    assert frigate(api.post(PATH, files=IMAGE).json()["predictions"], labels) == [(16, 0.9), (15, 0.55), (3, 0.5)]


def test_the_models_have_a_list(api: httpx.Client, busy: BusyWorker) -> None:
    body = api.post("/v1/vision/custom/list").json()
    assert (body["success"], body["models"]) == (True, ["m"])


@pytest.mark.parametrize(
    ("path", "sent", "status", "said"),
    [
        (PATH, {"files": {"other": b"x"}}, 400, "image"),
        (PATH, {"files": IMAGE, "data": {"min_confidence": "1.5"}}, 400, "min_confidence"),
        (PATH, {"json": {}}, 415, "multipart"),
        ("/v1/vision/custom/nonesuch", {"files": IMAGE}, 404, "nonesuch"),
        ("/v1/vision/custom/no%20name", {"files": IMAGE}, 400, "model"),
    ],
)
def test_errors_are_deepstacks(
    api: httpx.Client, busy: BusyWorker, path: str, sent: dict[str, Any], status: int, said: str
) -> None:
    answer = api.post(path, **sent)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert said in answer.json()["error"]


def test_a_picture_that_cannot_be_read(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = unreadable
    answer = api.post(PATH, files=IMAGE)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid image file")


def test_the_key_is_a_field_of_the_form(serve: Serve, store: JobStore, busy: BusyWorker) -> None:
    api = serve(adapters=("deepstack",), auth="keys")
    assert api.post(PATH, files=IMAGE, data={"api_key": make_key(store, "shop")}).status_code == 200
    refused = api.post(PATH, files=IMAGE, data={"api_key": "wrong"})
    assert (refused.status_code, refused.json()["success"]) == (401, False)
    assert busy.seen[0].job.owner == "shop"

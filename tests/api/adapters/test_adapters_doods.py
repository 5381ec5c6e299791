"""DOODS: detectors, rules by label for the picture and for regions, boxes as shares, drawn pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.adapters.doods import DetectRequest, Region, options, passed
from shared.schema import Detection
from shared.store import JobStore
from tests.api.adapters.conftest import DRAWN, BusyWorker
from tests.api.adapters.samples import CAT, DOG, HEIGHT, MOTORBIKE, WIDTH, found, seen, three, unreadable
from tests.api.conftest import Serve
from tests.api.test_owners import make_key

DATA = base64.b64encode(b"picture").decode()


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("doods",))


def test_detectors(api: httpx.Client, busy: BusyWorker) -> None:
    body = api.get("/detectors").json()
    m = {"name": "m", "type": "darknet", "model": "m@1", "labels": ["dog", "cat"], "width": 416, "height": 416}
    assert body == {"detectors": [m | {"name": "default"}, m]}


def test_the_answer_is_in_shares_and_percent(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    asked = {"id": "whatever", "detector_name": "default", "data": DATA, "detect": {"*": 50, "cat": 60}}
    answer = api.post("/detect", json=asked)
    assert answer.json() == {
        "id": "whatever",
        "detections": [
            {"top": 0.25, "left": 0.25, "bottom": 0.75, "right": 0.75, "label": "dog", "confidence": 90.0},
            {"top": 0.5, "left": 0.75, "bottom": 1.0, "right": 1.0, "label": "motorbike", "confidence": 50.0},
        ],
    }
    (held,) = busy.seen
    assert (held.data, held.job.model) == (b"picture", "m")
    assert (held.job.options.threshold, held.job.options.thresholds) == (0.5, {"cat": 0.6})


def test_without_rules_nothing_is_let_through(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    assert api.post("/detect", json={"data": DATA}).json() == {"detections": []}


def test_a_region_says_its_id(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    regions = [
        {"top": 0, "left": 0, "bottom": 0.7, "right": 1, "detect": {"dog": 10}, "covers": True, "id": "too small"},
        {"top": 0, "left": 0, "bottom": 1, "right": 0.3, "detect": {"*": 60}, "id": "left"},
    ]
    body = api.post("/detect", json={"data": DATA, "detect": {"motorbike": 10}, "regions": regions}).json()
    assert [(one["label"], one.get("region_id")) for one in body["detections"]] == [
        ("dog", "left"),
        ("motorbike", None),
    ]


def test_a_url_is_fetched_by_the_worker(api: httpx.Client, busy: BusyWorker) -> None:
    api.post("/detect", json={"data": "https://example.com/dog.jpg", "detect": {"*": 50}})
    assert busy.seen[0].source.model_dump()["url"] == "https://example.com/dog.jpg"


def test_drawn_pictures(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    asked = {"data": DATA, "detect": {"*": 50}}
    body = api.post("/detect", json=asked | {"image": "jpeg"}).json()
    assert (base64.b64decode(body["image"]), len(body["detections"])) == (DRAWN, 3)
    answer = api.post("/image", json=asked)
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", DRAWN)


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"data": "!"}, 400, "data"),
        ({"data": ""}, 400, "data"),
        ({"data": "rtsp://camera/1"}, 400, "streams"),
        ({"detector_name": "nonesuch"}, 400, "nonesuch"),
        ({"preprocess": ["grayscale"]}, 400, "preprocess"),
        ({"image": "png"}, 400, "image"),
        ({"detect": {"dog": 101}}, 400, "detect.dog"),
        ({"regions": [{"top": 0}]}, 400, "regions.0"),
    ],
)
def test_errors_are_doods(api: httpx.Client, busy: BusyWorker, changed: dict[str, Any], status: int, said: str) -> None:
    answer = api.post("/detect", json={"data": DATA, "detect": {"*": 50}} | changed)
    assert (answer.status_code, answer.json()["detections"]) == (status, [])
    assert said in answer.json()["error"]


def test_a_picture_that_cannot_be_read(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = unreadable
    answer = api.post("/detect", json={"data": DATA})
    assert (answer.status_code, answer.json()["error"]) == (400, "It is not a picture.")


def test_the_key_is_in_a_header(serve: Serve, store: JobStore, busy: BusyWorker) -> None:
    api = serve(adapters=("doods",), auth="keys")
    key = {"doods-auth-key": make_key(store, "shop")}
    assert api.get("/detectors", headers=key).status_code == 200
    assert api.post("/detect", json={"data": DATA}, headers=key).status_code == 200
    assert api.get("/detectors").status_code == 401


LABELS = ("dog", "cat", "motorbike")
RULES = st.dictionaries(st.sampled_from((*LABELS, "*")), st.integers(0, 100).map(float), max_size=4)
EDGE = st.integers(0, 10).map(lambda tenths: tenths / 10)
REGION = st.builds(Region, top=EDGE, left=EDGE, bottom=EDGE, right=EDGE, detect=RULES, covers=st.booleans())


def reference(asked: DetectRequest, everything: list[Detection]) -> list[Detection]:
    """The rules as the README of DOODS says them, one after the other."""

    def matches(rules: Mapping[str, float], one: Detection) -> bool:
        if one.label in rules:  # "it cannot be matched by the wildcard"
            return one.confidence >= rules[one.label] / 100
        return "*" in rules and one.confidence >= rules["*"] / 100

    kept = []
    for one in everything:
        left, top = one.box.x / WIDTH, one.box.y / HEIGHT
        right, bottom = (one.box.x + one.box.width) / WIDTH, (one.box.y + one.box.height) / HEIGHT
        ok = matches(asked.detect, one)
        for region in asked.regions:
            inside = region.top <= top and region.left <= left and region.bottom >= bottom and region.right >= right
            touches = not (top > region.bottom or left > region.right or bottom < region.top or right < region.left)
            ok = ok or ((inside if region.covers else touches) and matches(region.detect, one))
        if ok:
            kept.append(one)
    return kept


@given(
    detect=RULES, regions=st.lists(REGION, max_size=3), percents=st.lists(st.integers(0, 100), min_size=3, max_size=3)
)
def test_the_worker_is_asked_for_enough_and_the_rules_hold(
    detect: dict[str, float], regions: list[Region], percents: list[int]
) -> None:
    asked = DetectRequest(data=DATA, detect=detect, regions=regions)
    everything = [
        one.model_copy(update={"confidence": percent / 100})
        for one, percent in zip((DOG, CAT, MOTORBIKE), percents, strict=True)
    ]
    told = options([asked.detect, *(one.detect for one in regions)])
    by_worker = [
        one for one in everything
        if (told.get("classes") is None or one.label in told["classes"])
        and one.confidence >= told["thresholds"].get(one.label, told.get("threshold", 2))
    ]  # fmt: skip
    got = [one["label"] for one in passed(found(0, *by_worker), asked)]
    assert got == [one.label for one in reference(asked, everything)]


def test_a_label_of_its_own_rule_is_not_met_by_the_wildcard() -> None:
    asked = DetectRequest(data=DATA, detect={"*": 10, "dog": 95})
    assert [one["label"] for one in passed(found(0, DOG, seen("cat", 1, 0.2, 0, 0, 4, 4)), asked)] == ["cat"]

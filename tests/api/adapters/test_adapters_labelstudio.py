"""Label Studio's machine-learning backend: the interface is read, tasks become one job, each task has its answer."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from api.adapters.labelconfig import Boxes, read_boxes
from shared.errors import InvalidRequest
from shared.schema import Claim, PictureResult
from shared.store import JobStore
from tests.api.adapters.conftest import BusyWorker
from tests.api.adapters.samples import three, unreadable
from tests.api.conftest import Serve
from tests.api.test_owners import make_key

CONFIG = """
<View>
  <Header value="Find them"/>
  <Image name="img" value="$picture" zoom="true"/>
  <Choices name="weather" toName="img"><Choice value="dog"/></Choices>
  <RectangleLabels name="boxes" toName="img" score_threshold="0.3">
    <Label value="Dog" background="blue"/>
    <Label value="Vehicle" predicted_values="motorbike, Car"/>
    <Label value="Kitten" alias="cat"/>
  </RectangleLabels>
</View>
"""
DATA = base64.b64encode(b"picture").decode()


def tasks(*addresses: Any) -> dict[str, Any]:
    rows = [{"id": k, "data": {"picture": address}} for k, address in enumerate(addresses, 1)]
    return {"tasks": rows, "label_config": CONFIG, "project": "7.1700000000", "params": {"context": None}}


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("labelstudio",))


def test_the_interface_says_where_boxes_go() -> None:
    names = {"dog": "Dog", "motorbike": "Vehicle", "car": "Vehicle", "kitten": "cat", "cat": "cat"}
    assert read_boxes(CONFIG) == Boxes("boxes", "img", "picture", names, 0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no xml", "XML"),
        ("<View><Image name='i' value='$i'/></View>", "RectangleLabels"),
        ("<View><RectangleLabels name='b' toName='i'/><Text name='i' value='$t'/></View>", "RectangleLabels"),
        ("<View><RectangleLabels name='b' toName='i'/><Image name='i' valueList='$many'/></View>", "RectangleLabels"),
        ("<!DOCTYPE v [<!ENTITY a 'aaaa'>]><View>&a;</View>", "document type"),
        ("<View>\x00</View>", "XML"),
        (CONFIG.replace("0.3", "30"), "score_threshold"),
        (CONFIG.replace("0.3", "much"), "score_threshold"),
        ("<View>" + " " * 500_000 + "</View>", "characters"),
    ],
)
def test_an_interface_without_boxes_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_boxes(text)


def test_boxes_are_percent_under_the_labels_of_the_interface(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    body = api.post("/predict", json=tasks("https://example.com/1.jpg")).json()
    assert body["model_version"] == "m@1"
    (prediction,) = body["results"]
    assert prediction["model_version"] == "m@1"
    assert prediction["score"] == pytest.approx((0.9 + 0.55 + 0.5) / 3)
    first = prediction["result"][0]
    assert (first["from_name"], first["to_name"], first["type"], first["score"]) == (
        "boxes", "img", "rectanglelabels", 0.9,
    )  # fmt: skip
    assert first["value"] == {
        "x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Dog"],
    }  # fmt: skip
    assert [one["value"]["rectanglelabels"] for one in prediction["result"]] == [["Dog"], ["cat"], ["Vehicle"]]
    assert busy.seen[0].job.options.threshold == 0.3


def test_what_the_interface_has_no_label_for_is_left_out(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    asked = tasks("https://example.com/1.jpg")
    asked["label_config"] = CONFIG.replace('<Label value="Dog" background="blue"/>', "")
    (prediction,) = api.post("/predict", json=asked).json()["results"]
    assert [one["value"]["rectanglelabels"] for one in prediction["result"]] == [["cat"], ["Vehicle"]]
    assert prediction["score"] == pytest.approx((0.55 + 0.5) / 2)


def test_all_tasks_are_one_job_and_each_has_its_answer(api: httpx.Client, busy: BusyWorker) -> None:
    def answer(held: Claim) -> PictureResult:
        return unreadable(held) if held.index == 2 else three(held)

    busy.answer = answer
    addresses = ("https://example.com/1.jpg", "/data/upload/1/dog.jpg", "s3://bucket/2.jpg", 7,
                 f"data:image/jpeg;base64,{DATA}", "data:image/jpeg;base64,!", "s3://no")  # fmt: skip
    rows = api.post("/predict", json=tasks(*addresses)).json()["results"]
    assert [len(row["result"]) for row in rows] == [3, 0, 3, 0, 0, 0, 0]
    said = [row.get("error", "") for row in rows]
    assert said[0] == said[2] == ""
    assert "task 2" in said[1]
    assert "only Label Studio itself can read" in said[1]
    assert "task 4" in said[3]
    assert said[4] == "It is not a picture."
    assert "base64" in said[5]
    assert "task 7" in said[6]
    assert {held.job.id for held in busy.seen} == {busy.seen[0].job.id}
    assert [held.source.model_dump().get("s3") for held in busy.seen] == [None, "s3://bucket/2.jpg", None]
    assert busy.seen[2].data == b"picture"


def test_more_tasks_than_a_job_shows_inside_itself(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = three
    rows = api.post("/predict", json=tasks(*(f"https://example.com/{k}.jpg" for k in range(250)))).json()["results"]
    assert [len(row["result"]) for row in rows] == [3] * 250
    assert api.post("/predict", json=tasks(*["https://example.com/1.jpg"] * 1001)).status_code == 422


def test_where_no_task_can_be_answered_the_request_fails(api: httpx.Client, busy: BusyWorker) -> None:
    answer = api.post("/predict", json=tasks("/data/upload/1/dog.jpg"))
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert "/data/upload/1/dog.jpg" in answer.json()["detail"]
    busy.answer = unreadable
    answer = api.post("/predict", json=tasks("https://example.com/1.jpg"))
    assert (answer.status_code, answer.json()["detail"]) == (422, "It is not a picture.")
    assert api.post("/predict", json=tasks()).json()["results"] == []


def test_what_label_studio_asks_beside(api: httpx.Client, busy: BusyWorker) -> None:
    assert api.get("/health").json() == {"status": "UP", "model_class": "Spotter"}
    asked = {"project": "7.1700000000", "schema": CONFIG, "hostname": "http://ls", "access_token": "secret"}
    assert api.post("/setup", json=asked).json() == {"model_version": "m@1"}
    assert api.post("/setup", json=asked | {"schema": "<View/>"}).status_code == 422
    answer = api.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 7}})
    assert (answer.status_code, answer.json()["status"]) == (201, "ok")
    assert set(api.post("/predict", json={}).json()) == {"status", "detail"}


def test_the_key_is_the_password_of_basic_auth(serve: Serve, store: JobStore, busy: BusyWorker) -> None:
    api = serve(adapters=("labelstudio",), auth="keys")
    assert api.get("/health").status_code == 401
    api.auth = ("label-studio", make_key(store, "shop"))
    assert api.get("/health").status_code == 200
    assert api.post("/predict", json=tasks("https://example.com/1.jpg")).status_code == 200
    assert busy.seen[0].job.owner == "shop"

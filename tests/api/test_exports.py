"""Jobs in other systems' forms: `GET /jobs/{id}?format=`, `/results?format=` and `/export?format=`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import httpx
import pytest
import redis

from api.datasets import exported
from api.formats import FORMATS, ExportFormat, FormatName, LineFormat
from api.state import State
from shared.connection import connect_async
from shared.errors import JobNotFound
from shared.schema import DEFAULT_OWNER, Claim, PictureResult
from shared.settings import Settings
from shared.store import AsyncJobStore
from tests.api.formats.samples import DOG, found, picture
from tests.foreign_clients import needs_foreign, run_foreign
from tests.roles import as_role
from tests.shared.store_samples import bad

CAT = found("cat", 1, 0.5, 10.0, 20.0, 30.5, 40.25)
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="dog"/><Label value="cat"/></RectangleLabels></View>'
)


def done(api: httpx.Client, worker: Any, images: list[dict[str, str]], answers: list[PictureResult]) -> str:
    """A job that ended with these answers."""
    worker.announce("m")
    job: str = api.post("/jobs", json={"images": images}).json()["id"]
    for one in held(worker):
        worker.finish(one, answers[one.index])
    return job


def held(worker: Any) -> list[Claim]:
    """All that waits."""
    taken: list[Claim] = []
    while claims := worker.take(100):
        taken += claims
    return taken


def url(name: str, **more: str) -> dict[str, str]:
    return {"url": f"https://example.com/{name}", **more}


@pytest.fixture
def mixed(api: httpx.Client, worker: Any) -> str:
    """A dog and a cat, nothing, no picture, a cat in a second picture of the first one's name."""
    images = [url("a/shot.jpg"), url("b", id="cam 7/no:2.png"), url("c.jpg"), url("b/shot.jpg")]
    answers = [picture(DOG, CAT), picture(index=1, width=20, height=10), bad(2), picture(CAT, index=3)]
    return done(api, worker, images, answers)


@pytest.fixture
def single(api: httpx.Client, worker: Any) -> str:
    return done(api, worker, [url("dog.jpg")], [picture(DOG)])


def get(api: httpx.Client, path: str, **query: str) -> httpx.Response:
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer


def unzipped(answer: httpx.Response) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_every_form_is_offered_where_it_can_be_had() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)
    assert set(get_args(LineFormat)) == {name for name, form in FORMATS.items() if form.picture}
    assert set(get_args(ExportFormat)) == {name for name, form in FORMATS.items() if form.export}


def test_a_single_picture_is_answered_as_the_other_system_would(api: httpx.Client, single: str) -> None:
    path = f"/jobs/{single}"
    assert get(api, path, format="roboflow").json()["predictions"][0]["x"] == 253.0
    assert get(api, path, format="deepstack").json()["predictions"][0]["x_max"] == 382
    assert get(api, path, format="ultralytics").json()["images"][0]["results"][0]["box"]["x2"] == 382.0
    assert get(api, path, format="coco").json()["annotations"][0]["bbox"] == [124.0, 220.0, 258.0, 298.0]
    yolo = get(api, path, format="yolo")
    assert (yolo.headers["content-type"], yolo.text) == (
        "text/plain; charset=utf-8", "0 0.329427 0.640625 0.335938 0.517361\n",
    )  # fmt: skip
    voc = get(api, path, format="voc")
    assert voc.headers["content-type"] == "application/xml"
    box = ElementTree.fromstring(voc.text).find("object/bndbox")
    assert box is not None
    assert {side.tag: side.text for side in box} == {"xmin": "125", "ymin": "221", "xmax": "382", "ymax": "518"}
    (task,) = get(api, path, format="labelstudio").json()
    assert task["data"] == {"image": "https://example.com/dog.jpg"}
    assert (task["predictions"][0]["model_version"], len(task["predictions"][0]["result"])) == ("m@1", 1)
    table = get(api, path, format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(table.text))
    assert (row["label"], row["x"], row["width"], row["image_width"]) == ("dog", "124.0", "258.0", "768")
    assert get(api, path, format="spotter").json() == get(api, path).json()


def test_several_pictures_are_a_list_and_one_without_an_answer_says_so(api: httpx.Client, mixed: str) -> None:
    for form in ("roboflow", "deepstack", "ultralytics"):
        answer = get(api, f"/jobs/{mixed}", format=form).json()
        values = answer["images"] if form == "ultralytics" else answer
        assert [(one["index"], one["id"]) for one in values] == [
            (0, None), (1, "cam 7/no:2.png"), (2, None), (3, None),
        ]  # fmt: skip
        assert [one.get("error", {}).get("code") for one in values] == [None, None, "invalid_image", None]
        assert "predictions" not in values[2]
        assert "results" not in values[2]
        lines = get(api, f"/jobs/{mixed}/results", format=form).text.splitlines()
        assert [json.loads(line) for line in lines] == values
    tasks = get(api, f"/jobs/{mixed}", format="labelstudio").json()
    assert ["predictions" in one for one in tasks] == [True, True, False, True]
    assert tasks[2]["meta"]["error"]["code"] == "invalid_image"
    lines = get(api, f"/jobs/{mixed}/results", format="labelstudio").text.splitlines()
    assert [json.loads(line) for line in lines] == tasks
    assert api.get(f"/jobs/{mixed}/results?format=coco").status_code == 422


@pytest.mark.parametrize("form", get_args(ExportFormat))
def test_a_small_job_in_a_form_is_its_export(api: httpx.Client, mixed: str, form: str) -> None:
    small, export = get(api, f"/jobs/{mixed}", format=form), get(api, f"/jobs/{mixed}/export", format=form)
    assert small.content == export.content
    for answer in (small, export):
        assert answer.headers["content-disposition"].startswith(f'attachment; filename="{mixed}.')
        assert answer.headers["etag"] == small.headers["etag"]


def test_a_yolo_archive(api: httpx.Client, mixed: str) -> None:
    files = unzipped(get(api, f"/jobs/{mixed}/export", format="yolo"))
    assert set(files) == {
        "labels/shot.txt", "labels/cam 7_no_2.txt", "labels/shot-2.txt", "classes.txt", "data.yaml", "pictures.csv",
    }  # fmt: skip
    assert files["labels/cam 7_no_2.txt"] == ""
    assert [line.split()[0] for line in files["labels/shot.txt"].splitlines()] == ["0", "1"]
    assert files["classes.txt"] == "dog\ncat\n"
    listed = list(csv.DictReader(io.StringIO(files["pictures.csv"])))
    assert [(row["file_name"], row["status"], row["error"], row["detections"]) for row in listed] == [
        ("shot.jpg", "succeeded", "", "2"),
        ("cam 7_no_2.png", "succeeded", "", "0"),
        ("c.jpg", "failed", "invalid_image", ""),
        ("shot-2.jpg", "succeeded", "", "1"),
    ]
    assert listed[0]["address"] == "https://example.com/a/shot.jpg"


def test_a_voc_archive(api: httpx.Client, mixed: str) -> None:
    files = unzipped(get(api, f"/jobs/{mixed}/export", format="voc"))
    assert set(files) == {
        "Annotations/shot.xml", "Annotations/cam 7_no_2.xml", "Annotations/shot-2.xml", "pictures.csv",
    }  # fmt: skip
    assert ElementTree.fromstring(files["Annotations/cam 7_no_2.xml"]).find("object") is None


def test_coco_holds_empty_pictures_and_names_those_that_failed(api: httpx.Client, mixed: str) -> None:
    data = get(api, f"/jobs/{mixed}/export", format="coco").json()
    assert [(one["id"], one["file_name"]) for one in data["images"]] == [
        (1, "shot.jpg"), (2, "cam 7_no_2.png"), (4, "shot-2.jpg"),
    ]  # fmt: skip
    assert [(one["image_id"], one["category_id"]) for one in data["annotations"]] == [(1, 1), (1, 2), (4, 2)]
    assert data["categories"] == [
        {"id": 1, "name": "dog", "supercategory": ""}, {"id": 2, "name": "cat", "supercategory": ""},
    ]  # fmt: skip
    assert [(one["index"], one["file_name"], one["error"]["code"]) for one in data["failed"]] == [
        (2, "c.jpg", "invalid_image")
    ]


def test_csv_has_a_line_for_every_detection_and_one_for_every_other_picture(api: httpx.Client, mixed: str) -> None:
    text = get(api, f"/jobs/{mixed}/export", format="csv").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["index"], row["status"], row["label"], row["error"]) for row in rows] == [
        ("0", "succeeded", "dog", ""), ("0", "succeeded", "cat", ""), ("1", "succeeded", "", ""),
        ("2", "failed", "", "invalid_image"), ("3", "succeeded", "cat", ""),
    ]  # fmt: skip


def test_uploads_are_found_in_this_service(serve: Any, worker: Any) -> None:
    api = serve(base_url="https://spotter.example")
    upload = api.post("/jobs", content=b"bytes", headers={"content-type": "image/jpeg"}).json()["id"]
    worker.finish(worker.take()[0], picture(DOG))
    (task,) = get(api, f"/jobs/{upload}", format="labelstudio").json()
    assert task["data"]["image"] == f"https://spotter.example/jobs/{upload}/pictures/0"
    assert task["meta"]["file_name"] == "picture-00000"
    assert get(api, f"/jobs/{upload}", format="coco").json()["images"][0]["file_name"] == "picture-00000"


def test_a_job_that_runs_on_is_409_and_wait_waits_for_its_end(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [url("a.jpg"), url("b.jpg")]}).json()["id"]
    first, second = held(worker)
    worker.finish(first, picture(DOG))
    for path in (f"/jobs/{job}?format=coco", f"/jobs/{job}/export?format=coco", f"/jobs/{job}?format=yolo&wait=1"):
        refused = api.get(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "job_not_finished")
        assert refused.headers["retry-after"] == "1"
    (line,) = get(api, f"/jobs/{job}/results", format="roboflow").text.splitlines()
    assert json.loads(line)["index"] == 0
    worker.finish(second, picture(index=1))
    assert len(get(api, f"/jobs/{job}", format="coco", wait="5").json()["images"]) == 2


def test_a_job_without_any_answer_has_nothing_to_convert(api: httpx.Client, worker: Any) -> None:
    job = done(api, worker, [url("a.jpg")], [bad()])
    for path in (f"/jobs/{job}?format=deepstack", f"/jobs/{job}/export?format=voc"):
        assert (api.get(path).status_code, api.get(path).json()["code"]) == (409, "no_results")
    assert "export" not in api.get(f"/jobs/{job}").json()["links"]


def test_a_canceled_job_is_exported_as_far_as_it_came(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [url("a.jpg"), url("b.jpg")]}).json()["id"]
    worker.finish(worker.take(1)[0], picture(DOG))
    api.post(f"/jobs/{job}/cancel")
    data = get(api, f"/jobs/{job}/export", format="coco").json()
    assert len(data["images"]) == 1
    assert [(one["index"], one["status"], one["error"]) for one in data["failed"]] == [(1, "canceled", None)]


def test_a_large_job_is_exported_whole_and_not_shown_at_once(api: httpx.Client, worker: Any) -> None:
    count = 250
    job = done(api, worker, [url(f"{k}.jpg") for k in range(count)], [picture(DOG, index=k) for k in range(count)])
    refused = api.get(f"/jobs/{job}?format=coco")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "format")
    data = get(api, f"/jobs/{job}/export", format="coco").json()
    assert [one["file_name"] for one in data["images"]] == [f"{k}.jpg" for k in range(count)]
    assert [one["id"] for one in data["annotations"]] == list(range(1, count + 1))
    assert len(unzipped(get(api, f"/jobs/{job}/export", format="yolo"))) == count + 3
    assert len(get(api, f"/jobs/{job}/results", format="roboflow").text.splitlines()) == count


def test_an_unchanged_answer_is_a_304_in_each_form(api: httpx.Client, mixed: str) -> None:
    tags = {form: get(api, f"/jobs/{mixed}", format=form).headers["etag"] for form in get_args(FormatName)}
    assert len(set(tags.values())) == len(tags)
    for form, tag in tags.items():
        assert api.get(f"/jobs/{mixed}?format={form}", headers={"If-None-Match": tag}).status_code == 304
    tag = tags["coco"]
    assert api.get(f"/jobs/{mixed}?format=voc", headers={"If-None-Match": tag}).status_code == 200
    unchanged = api.get(f"/jobs/{mixed}/export?format=coco", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.headers["etag"], unchanged.content) == (304, tag, b"")


def test_an_export_of_a_job_that_goes_or_changes_meanwhile_is_broken_off(
    api: httpx.Client, worker: Any, redis_url: str, client: redis.Redis
) -> None:
    job = done(api, worker, [url(f"{k}.jpg") for k in range(150)], [picture(DOG, index=k) for k in range(150)])
    (key,) = client.keys(f"*job:{job}")

    async def exporting(meanwhile: Callable[[], object]) -> bytes:
        async with connect_async(as_role(redis_url, "api"), "test") as connection:
            state = State.__new__(State)
            state.settings, state.store = Settings(), AsyncJobStore(connection)
            export = FORMATS["csv"].export
            assert export is not None
            pieces = exported(state, await state.snapshot(job, DEFAULT_OWNER), export)
            first = await anext(pieces)
            meanwhile()
            return first + b"".join([piece async for piece in pieces])

    assert asyncio.run(exporting(lambda: None)) == get(api, f"/jobs/{job}/export", format="csv").content
    with pytest.raises(JobNotFound):
        asyncio.run(exporting(lambda: client.rename(key, "aside")))
    client.rename("aside", key)
    with pytest.raises(JobNotFound):
        asyncio.run(exporting(lambda: client.hincrby(key, "ver", 1)))


@needs_foreign
def test_other_systems_read_our_data_sets(api: httpx.Client, worker: Any, tmp_path: Path) -> None:
    images = [url("one.jpg"), url("empty.png", id="mine.png"), url("gone.jpg"), url("x", id="three.jpg")]
    answers = [picture(DOG, CAT), picture(index=1, width=20, height=10), bad(2), picture(CAT, index=3, width=41)]
    job = done(api, worker, images, answers)
    for form in ("coco", "labelstudio"):
        (tmp_path / f"{form}.json").write_bytes(get(api, f"/jobs/{job}/export", format=form).content)
    for form in ("yolo", "voc"):
        archive = zipfile.ZipFile(io.BytesIO(get(api, f"/jobs/{job}/export", format=form).content))
        archive.extractall(tmp_path / form)
    (tmp_path / "config.xml").write_text(CONFIG)
    sizes = {"one.jpg": (768, 576), "mine.png": (20, 10), "three.jpg": (41, 576)}
    (tmp_path / "sizes.json").write_text(json.dumps(sizes))

    read = run_foreign("read_datasets", tmp_path)

    assert read["coco"] == {
        "score": [pytest.approx(1.0)] * 2, "images": list(sizes), "categories": {"dog": 1, "cat": 2}, "of_dogs": 1,
    }  # fmt: skip
    exact = {
        "one.jpg": [[124.0, 220.0, 382.0, 518.0, "dog"], [10.0, 20.0, 40.5, 60.25, "cat"]],
        "mine.png": [],
        "three.jpg": [[10.0, 20.0, 40.5, 60.25, "cat"]],
    }
    # VOC's last pixel is a part of the box: supervision takes it for the border, half a pixel of rounding aside.
    for form, tolerance in (("coco", 1e-4), ("yolo", 1e-3), ("voc", 1.5)):
        seen = read["supervision"][form]
        assert set(seen) == set(exact)
        for name, boxes in exact.items():
            assert [box[4] for box in seen[name]] == [box[4] for box in boxes], (form, name)
            for box, own in zip(seen[name], boxes, strict=True):
                assert box[:4] == pytest.approx(own[:4], abs=tolerance), (form, name)
    assert read["labelstudio"]["wrong"] == [[], [], []]
    back = sorted(read["labelstudio"]["boxes"], key=lambda one: (one[4], one[0]))
    expected = [[10.0, 20.0, 30.5, 40.25, "cat"]] * 2 + [[124.0, 220.0, 258.0, 298.0, "dog"]]
    for box, own in zip(back, expected, strict=True):
        assert box[4] == own[4]
        assert box[:4] == pytest.approx(own[:4], abs=1e-3)

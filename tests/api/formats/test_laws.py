"""What every data set keeps, read back by other means: ElementTree, the definition of YOLO's numbers, csv, json."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.formats import FORMATS, ExportFormat
from api.formats.dataset import About, Entry
from api.formats.labels import Labels
from api.formats.voc import voc
from api.formats.yolo import yolo
from shared.schema import PictureResult
from tests.api.formats.samples import DOG, LABELS, found, picture, pictures
from tests.shared.store_samples import bad

AT = 1_700_000_000_000


def about(*labels: str) -> About:
    return About("job_1", "m", AT, Labels(labels))


def entry(result: PictureResult, name: str = "a.jpg", id: str | None = None) -> Entry:
    return Entry(result, id, name, name.removesuffix(".jpg"), "https://example.com/" + name)


def written(form: ExportFormat, pages: list[list[Entry]], known: About) -> bytes:
    export = FORMATS[form].export
    assert export is not None
    writer = export.writer(known)
    return b"".join([*(writer.page(page) for page in pages), writer.end()])


@given(pictures())
def test_yolos_parts_lead_back_to_the_pixels(one: PictureResult) -> None:
    assert one.image is not None
    wide, high = one.image.width, one.image.height
    lines = [line.split() for line in yolo(one, Labels(LABELS)).splitlines()]
    for line, own in zip(lines, one.detections or (), strict=True):
        number, (x, y, w, h) = int(line[0]), map(float, line[1:])
        assert LABELS[number] == own.label
        assert all(0 <= part <= 1 for part in (x, y, w, h))
        assert (x - w / 2) * wide == pytest.approx(own.box.x, abs=1e-6 * wide)
        assert (y - h / 2) * high == pytest.approx(own.box.y, abs=1e-6 * high)
        assert w * wide == pytest.approx(own.box.width, abs=1e-6 * wide)
        assert h * high == pytest.approx(own.box.height, abs=1e-6 * high)


@given(pictures())
def test_vocs_pixels_are_the_box_to_half_a_pixel_and_inside_the_picture(one: PictureResult) -> None:
    root = ElementTree.fromstring(voc(entry(one)))
    assert one.image is not None
    assert (root.findtext("size/width"), root.findtext("size/depth")) == (str(one.image.width), "3")
    for told, own in zip(root.findall("object"), one.detections or (), strict=True):
        left, top, right, bottom = (
            int(told.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")
        )
        assert 1 <= left <= right <= one.image.width
        assert 1 <= top <= bottom <= one.image.height
        # Pixel k, counted from 1, reaches from k - 1 to k. A box of less than a pixel takes a whole one.
        across, down = (0.5 if side >= 1 else 1.5 for side in (own.box.width, own.box.height))
        assert abs(left - 1 - own.box.x) <= across
        assert abs(right - own.box.x - own.box.width) <= across
        assert abs(top - 1 - own.box.y) <= down
        assert abs(bottom - own.box.y - own.box.height) <= down
        assert told.findtext("name") == own.label


@given(st.lists(pictures(), max_size=5), st.integers(1, 3))
def test_coco_and_csv_hold_every_detection_as_it_was_whatever_the_pages(shown: list[PictureResult], size: int) -> None:
    shown = [one.model_copy(update={"index": k}) for k, one in enumerate(shown)]
    entries = [entry(one, f"{one.index}.jpg") for one in shown]
    pages = [entries[k : k + size] for k in range(0, len(entries), size)]
    data = json.loads(written("coco", pages, about(*LABELS)))
    names = {one["id"]: one["name"] for one in data["categories"]}
    own = [
        (one.index, box.label, box.confidence, *box.box.model_dump().values())
        for one in shown
        for box in one.detections or ()
    ]
    assert own == [
        (one["image_id"] - 1, names[one["category_id"]], one["score"], *one["bbox"]) for one in data["annotations"]
    ]
    assert [one["file_name"] for one in data["images"]] == [one.name for one in entries]
    rows = list(csv.DictReader(io.StringIO(written("csv", pages, about(*LABELS)).decode())))
    assert own == [
        (int(row["index"]), row["label"], *(float(row[name]) for name in ("confidence", "x", "y", "width", "height")))
        for row in rows
        if row["label"]
    ]
    assert {int(row["index"]) for row in rows} == {one.index for one in shown}


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelstudio", "csv"])
def test_a_data_set_of_nothing_is_one_all_the_same(form: ExportFormat) -> None:
    made = written(form, [], about("dog"))
    if form in ("coco", "labelstudio"):
        assert json.loads(made) == [] or json.loads(made)["images"] == []
    elif form == "csv":
        assert len(made.splitlines()) == 1
    else:
        assert zipfile.ZipFile(io.BytesIO(made)).testzip() is None


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelstudio", "csv"])
def test_the_same_job_gives_the_same_bytes(form: ExportFormat) -> None:
    pages = [[entry(picture(DOG)), entry(bad(1), "b.jpg")]]
    assert written(form, pages, about("dog")) == written(form, pages, about("dog"))


def test_words_that_mean_something_in_a_form_stay_words() -> None:
    nasty = 'a "b" <c> & \x07, d\u2028: #'
    one = picture(found(nasty, 0, 0.5, 1, 1, 2, 2))
    root = ElementTree.fromstring(voc(entry(one)))
    assert root.findtext("object/name") == nasty.replace("\x07", "\ufffd")
    assert (
        f"  0: {json.dumps(nasty)}\n"
        in zipfile.ZipFile(io.BytesIO(written("yolo", [[entry(one)]], about(nasty)))).read("data.yaml").decode()
    )
    (row,) = csv.DictReader(io.StringIO(written("csv", [[entry(one, id='x,"y"\nz')]], about(nasty)).decode()))
    assert (row["label"], row["id"]) == (nasty, 'x,"y"\nz')


def test_a_label_has_one_id_whichever_version_found_it() -> None:
    labels = Labels(("dog", "cat"))
    assert [labels.id_of(one) for one in (
        found("cat", 1, 1, 0, 0, 1, 1),  # as in this version
        found("cat", 0, 1, 0, 0, 1, 1),  # another version has it elsewhere
        found("cow", 1, 1, 0, 0, 1, 1),  # only another version knows it
        found("cow", 7, 1, 0, 0, 1, 1),
    )] == [1, 1, 2, 2]  # fmt: skip
    assert labels.names == ["dog", "cat", "cow"]
    unknown = Labels()
    assert unknown.id_of(found("sheep", 3, 1, 0, 0, 1, 1)) == 3
    assert unknown.names == ["class_0", "class_1", "class_2", "sheep"]
    assert unknown.known == [(3, "sheep")]


@pytest.mark.parametrize("form", ["coco", "yolo", "voc", "labelstudio", "csv"])
def test_writers_hold_little_of_a_picture(form: ExportFormat) -> None:
    export = FORMATS[form].export
    assert export is not None
    writer, many = export.writer(about("dog")), picture(*[DOG] * 200)
    for k in range(50):
        assert writer.page([entry(many, f"{k}.jpg")])
    assert len(writer.end()) < 50 * 300

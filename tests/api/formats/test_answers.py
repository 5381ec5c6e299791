"""One picture in the forms of Roboflow, DeepStack, Ultralytics and Label Studio."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given

from api.formats.coco_ids import SPELLINGS
from api.formats.deepstack import MOST, deepstack
from api.formats.labelstudio import labelstudio
from api.formats.roboflow import roboflow
from api.formats.ultralytics import ultralytics
from shared.schema import Box, PictureResult
from tests.api.formats.samples import DOG, LABELS, found, picture, pictures
from tests.foreign_clients import needs_foreign, run_foreign

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    + "".join(f'<Label value="{label}"/>' for label in LABELS)
    + "</RectangleLabels></View>"
)


def test_a_picture_in_each_form_worked_by_hand() -> None:
    one = picture(DOG)
    answer = roboflow(one, "job_1")
    assert (answer["image"], answer["time"]) == ({"width": 768, "height": 576}, 0.0134)
    (box,) = answer["predictions"]
    assert UUID(box.pop("detection_id"))
    assert box == {
        "x": 253.0, "y": 369.0, "width": 258.0, "height": 298.0, "confidence": 0.829, "class": "dog", "class_id": 0,
    }  # fmt: skip
    assert deepstack(one) == {
        "success": True,
        "predictions": [{"confidence": 0.829, "label": "dog", "x_min": 124, "y_min": 220, "x_max": 382, "y_max": 518}],
        "duration": 0.0134,
    }
    assert ultralytics(one) == {
        "shape": [576, 768],
        "speed": {"preprocess": 3.1, "inference": 7.2, "postprocess": 0.4},
        "results": [
            {"name": "dog", "class": 0, "confidence": 0.829, "box": {"x1": 124, "y1": 220, "x2": 382, "y2": 518}}
        ],
    }
    region = labelstudio(one, "m@1")["result"][0]
    value = region["value"]
    assert (value.pop("rectanglelabels"), value.pop("rotation")) == (["dog"], 0)
    assert value == pytest.approx({"x": 16.1458333, "y": 38.1944444, "width": 33.59375, "height": 51.7361111})
    assert (region["original_width"], region["original_height"], region["score"]) == (768, 576, 0.829)


def test_a_picture_without_objects_is_an_answer_too() -> None:
    none = picture()
    assert roboflow(none)["predictions"] == []
    assert (deepstack(none)["success"], deepstack(none)["predictions"]) == (True, [])
    assert ultralytics(none)["results"] == []
    assert labelstudio(none, "m@1") == {"model_version": "m@1", "score": 0.0, "result": []}


def test_roboflows_ids_are_those_of_the_place() -> None:
    ids = [one["detection_id"] for one in roboflow(picture(DOG, DOG), "job_1")["predictions"]]
    assert len(set(ids)) == 2
    assert ids == [one["detection_id"] for one in roboflow(picture(DOG, DOG), "job_1")["predictions"]]
    assert ids[0] != roboflow(picture(DOG, index=1), "job_1")["predictions"][0]["detection_id"]
    assert ids[0] != roboflow(picture(DOG), "job_2")["predictions"][0]["detection_id"]


def test_deepstacks_clients_get_no_more_than_they_hold_and_names_that_they_know() -> None:
    many = [found("Sofa", 0, confidence / 100, 1, 1, 2, 2) for confidence in range(50)]
    told = deepstack(picture(*many, found("motorbike", 3, 0.9, 0, 0, 5, 5)), SPELLINGS)["predictions"]
    assert len(told) == MOST == 20
    assert (told[0]["label"], told[1]["label"]) == ("motorcycle", "sofa")
    assert [one["confidence"] for one in told] == sorted((one["confidence"] for one in told), reverse=True)


@given(pictures())
def test_deepstacks_boxes_are_whole_pixels_of_the_picture(one: PictureResult) -> None:
    assert one.image is not None
    for told, own in zip(deepstack(one)["predictions"], one.detections or (), strict=False):
        assert all(type(told[side]) is int for side in ("x_min", "y_min", "x_max", "y_max"))
        assert 0 <= told["x_min"] <= told["x_max"] <= one.image.width
        assert 0 <= told["y_min"] <= told["y_max"] <= one.image.height
        assert abs(told["x_min"] - own.box.x) <= 0.5
        assert abs(told["x_max"] - own.box.x - own.box.width) <= 0.5
        assert told["label"] == own.label.lower()


@given(pictures())
def test_label_studios_percents_lead_back_to_the_pixels(one: PictureResult) -> None:
    for told, own in zip(labelstudio(one, "m@1")["result"], one.detections or (), strict=True):
        value, wide, high = told["value"], told["original_width"], told["original_height"]
        assert all(0 <= value[name] <= 100 for name in ("x", "y", "width", "height"))
        assert value["x"] * wide / 100 == pytest.approx(own.box.x, abs=1e-6)
        assert value["y"] * high / 100 == pytest.approx(own.box.y, abs=1e-6)
        assert value["width"] * wide / 100 == pytest.approx(own.box.width, abs=1e-6)
        assert value["height"] * high / 100 == pytest.approx(own.box.height, abs=1e-6)


@needs_foreign
def test_supervision_and_label_studio_read_what_we_found(tmp_path: Path) -> None:
    full = picture(
        found("cat", 1, 0.9, 0.0, 0.0, 768.0, 576.0), DOG, found("Traffic Light", 2, 0.25, 700.5, 570.25, 67.5, 5.75)
    )
    thin = picture(found("dog", 0, 1.0, 0, 0, 7, 1), width=7, height=1)
    shown = [full, picture(), thin]
    text = json.dumps(
        {
            "roboflow": [roboflow(one) for one in shown],
            "labelstudio": [labelstudio(one, "m@1") for one in shown],
            "config": CONFIG,
        }
    )
    (tmp_path / "given.json").write_text(text)
    read = run_foreign("read_answers", tmp_path / "given.json")
    assert read["labelstudio"] == [[], [], []]
    for seen, own in zip(read["roboflow"], shown, strict=True):
        detections = own.detections or ()
        assert len(seen["xyxy"]) == len(detections)
        for box, one in zip(seen["xyxy"], detections, strict=True):
            assert box == pytest.approx(corners(one.box))
        assert seen["confidence"] == pytest.approx([one.confidence for one in detections])
        assert seen["class_id"] == [one.class_id for one in detections]
        assert seen["class_name"] == [one.label for one in detections]
        assert not seen["tracked"]


def corners(box: Box) -> list[float]:
    return [box.x, box.y, box.x + box.width, box.y + box.height]


@given(pictures())
def test_ultralytics_corners_are_the_box(one: PictureResult) -> None:
    for told, own in zip(ultralytics(one)["results"], one.detections or (), strict=True):
        assert list(told["box"].values()) == pytest.approx(corners(own.box))

"""Which form a file has, which names its classes: what is sure is taken, what is not is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.manifest import Frame
from tests.zoo.onnx_exports import FLOAT, HEIGHT, WIDTH, Net, Rcnn, Tf, rows
from tests.zoo.onnx_exports_queries import CELLS, QUERIES, Detr, Yolo, Yolox
from zoo.adapt import HEADS, adapt, notes
from zoo.adapt.naming import COCO_IDS, settle
from zoo.errors import ForeignModelError

FRAME = Frame(width=WIDTH, height=HEIGHT)
THREE = ("a", "b", "c")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f.onnx"


def rows_of_yolo() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    numbers = Yolo.of(3 * CELLS, 8).numbers
    return numbers.weights, numbers.bias


def nothing_known(path: Path) -> Path:
    net = Net()
    net.affine(net.halves("x"), rows(1, 4, 9).weights, rows(1, 4, 9).bias, out="y")
    return net.save(path, {"x": (FLOAT, [1, 3, HEIGHT, WIDTH])}, {"y": (FLOAT, [1, 4, 9])})


def test_an_unknown_form_is_refused_with_what_was_seen(path: Path) -> None:
    with pytest.raises(
        ForeignModelError, match=r"x \(1, 3, 64, 96\); outputs y \(1, 4, 9\).*--head: tf-detection"
    ) as caught:
        adapt(nothing_known(path), labels=THREE)
    assert all(name in str(caught.value) for name in HEADS)


def test_a_file_that_could_be_two_forms_is_refused_with_both(path: Path) -> None:
    net = Detr(rows(14, QUERIES, 3))
    net.write(path, sampling=True, mask=(HEIGHT, WIDTH))
    with pytest.raises(ForeignModelError, match=r"more than one form.*rt-detr-logits \(.*deformable-detr \("):
        adapt(path, labels=THREE)
    assert adapt(path, labels=THREE, head="deformable-detr").head == "deformable-detr"


def test_more_queries_than_detr_s_may_be_a_conditional_detr(path: Path) -> None:
    """Which has the same inputs and outputs, but a sigmoid."""
    boxes = rows(13, 300, 4)
    Detr(rows(14, 300, 3), boxes).write(path)
    with pytest.raises(ForeignModelError, match=r"detr \(.*deformable-detr \("):
        adapt(path, labels=THREE)


def test_inputs_that_a_form_does_not_have_are_refused(path: Path) -> None:
    net = Net()
    both = net.add("Concat", "images", "infrared", axis=1)
    net.affine(net.halves(net.add("Slice", both, net.integers(0), net.integers(3), net.integers(1))),
               *rows_of_yolo(), out="output0")  # fmt: skip
    size = (FLOAT, [1, 3, HEIGHT, WIDTH])
    net.save(path, {"images": size, "infrared": size}, {"output0": (FLOAT, [1, 3 * CELLS, 8])})
    with pytest.raises(ForeignModelError, match="wants inputs that are not known: infrared"):
        adapt(path, labels=THREE, head="yolov5")


def test_the_user_s_word_is_taken(path: Path) -> None:
    """YOLOv6 and v7 have the rows of YOLOv5, on grids with another number of cells."""
    Yolo.of(77, 8).write(path)
    with pytest.raises(ForeignModelError, match="not known"):
        adapt(path, labels=THREE)
    assert adapt(path, labels=THREE, head="yolov5").head == "yolov5"


def test_a_head_that_does_not_exist(path: Path) -> None:
    with pytest.raises(ForeignModelError, match="no head 'yolov99': use one of tf-detection"):
        adapt(nothing_known(path), head="yolov99")


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_the_file_does_not_have_is_refused_in_words(path: Path, head: str) -> None:
    """Or wrapped, where rank and size leave room for it; never an error from inside."""
    try:
        found = adapt(nothing_known(path), head=head, labels=THREE)
    except ForeignModelError:
        return
    assert found.head == head
    assert [value.name for value in found.model.graph.input] == ["images"]


@pytest.mark.parametrize(
    ("rows_of", "columns", "head"),
    [((3 * CELLS, 8), False, "yolov5"), ((CELLS, 7), True, "yolov8"), ((300, 6), False, "yolov10"),
     ((CELLS, 5), True, "yolov8"), ((3 * CELLS, 6), False, "yolov5")],
)  # fmt: skip
def test_yolo_by_sizes_alone(path: Path, rows_of: tuple[int, int], columns: bool, head: str) -> None:
    Yolo.of(*rows_of).write(path, columns=columns)
    labels = ("a",) if rows_of[1] in (5, 6) else THREE
    assert adapt(path, labels=labels).head == head


def test_a_turned_yolov8_is_not_taken_for_yolox(path: Path) -> None:
    """Rows (N, A, 4 + C) have the shape of YOLOX's with one class less."""
    Yolo.of(CELLS, 9).write(path)
    with pytest.raises(ForeignModelError, match="not known"):
        adapt(path, labels=("a", "b", "c", "d"))


@pytest.mark.parametrize("task", ["classify", "obb"])
def test_an_ultralytics_model_for_something_else(path: Path, task: str) -> None:
    Yolo.of(CELLS, 7).write(path, columns=True, notes={"author": "Ultralytics", "task": task, "names": "['a']"})
    with pytest.raises(ForeignModelError, match=task):
        adapt(path)


# -- size and batch ---------------------------------------------------------------------------------------------------


def test_a_fixed_frame_cannot_be_wished_otherwise(path: Path) -> None:
    Yolox().write(path)
    with pytest.raises(ForeignModelError, match="96x64 only, not 640x480"):
        adapt(path, labels=THREE, frame=Frame(width=640, height=480))
    assert adapt(path, labels=THREE, frame=FRAME).frame == FRAME


def test_an_open_frame_is_the_family_s_or_the_user_s(path: Path) -> None:
    Tf().write(path)
    assert adapt(path, labels=THREE).frame == Frame(width=640, height=640)
    wished = adapt(path, labels=THREE, frame=Frame(width=300, height=200), resize="corner", max_batch=1)
    assert (wished.frame, wished.resize, wished.max_batch) == (Frame(width=300, height=200), "corner", 1)
    assert [dim.dim_value for dim in wished.model.graph.input[0].type.tensor_type.shape.dim] == [1, 200, 300, 3]


def test_an_open_frame_is_the_one_that_the_file_notes(path: Path) -> None:
    said = {"author": "Ultralytics", "names": "['a', 'b', 'c']", "imgsz": "[320, 480]"}
    Yolo.of(CELLS, 7).write(path, columns=True, dynamic=True, notes=said)
    assert adapt(path).frame == Frame(width=480, height=320)
    assert adapt(path, frame=FRAME).frame == FRAME


@pytest.mark.parametrize("text", ["", "640", "[640]", "['a', 'b']", "[0, 640]", "[99999, 640]", "[" * 5000])
def test_a_noted_frame_that_is_none(text: str) -> None:
    assert notes.frame({"imgsz": text}) is None


def test_a_fixed_batch_of_several_is_refused(path: Path) -> None:
    Yolox().write(path, batch=4)
    with pytest.raises(ForeignModelError, match="exactly 4 pictures"):
        adapt(path, labels=THREE)


# -- names ------------------------------------------------------------------------------------------------------------


def test_numbered_classes_are_refused_with_what_to_do(path: Path) -> None:
    Yolox().write(path)
    with pytest.raises(ForeignModelError, match=r"does not name its classes.*--names FILE, one a line"):
        adapt(path)


def test_the_user_s_names_come_before_those_of_the_file(path: Path) -> None:
    Yolo.of(CELLS, 7).write(path, columns=True, notes={"author": "Ultralytics", "names": "['a', 'b', 'c']"})
    assert adapt(path).labels == THREE
    assert adapt(path, labels=["x", " y ", "z"]).labels == ("x", "y", "z")
    with pytest.raises(ForeignModelError, match="3 classes, but there are 2 names"):
        adapt(path, labels=["x", "y"])


@pytest.mark.parametrize(
    "text", ["{", "[1, 2]", "{0: 'a', 2: 'b'}", "'a'", "[]", "[' ']", "(" * 5000, "__import__('os')"]
)
def test_damaged_names_in_the_file(text: str) -> None:
    with pytest.raises(ForeignModelError, match=r"[Cc]lass name"):
        notes.labels({"names": text})


@pytest.mark.parametrize(
    "text", ["{0: 'a', 1: 'b'}", "{1: 'b', 0: 'a'}", "['a', 'b']", '["a", "b"]', '{"0": "a", "1": "b"}']
)
def test_names_in_the_file(text: str) -> None:
    assert notes.labels({"names": text}) == ("a", "b")


def test_coco_s_eighty_names_stand_for_ids_up_to_ninety(path: Path) -> None:
    coco = ("person", *(f"c{k}" for k in range(78)), "toothbrush")
    assert len(COCO_IDS) == 80
    assert settle(coco, 90, 1, True).numbers == COCO_IDS
    assert settle(coco, None, 1, True).numbers[-1] == 90
    assert settle(coco, 80, 1, True).numbers == tuple(range(1, 81))
    assert settle(("__background__", *coco), 80, 1, True).labels == coco
    with pytest.raises(ForeignModelError, match="90 classes \\(COCO's 80 names would do\\), but there are 79 names"):
        settle(coco[:79], 90, 1, True)


def test_a_background_is_a_name_where_the_graph_counts_from_0() -> None:
    assert settle(("background", "a"), 2, 0, False).labels == ("background", "a")
    assert settle(("background", "a"), 1, 1, False).labels == ("a",)


@given(st.integers(1, 300), st.sampled_from([0, 1]), st.booleans())
def test_plain_names_are_counted_from_the_first(count: int, first: int, coco_ids: bool) -> None:
    labels = [f"c{k}" for k in range(count)]
    naming = settle(labels, count, first, coco_ids)
    assert naming.labels == tuple(labels)
    assert naming.numbers == tuple(range(first, first + count))
    assert naming.start == first


def test_torchvision_without_its_transform_is_not_told_from_the_zoo_s(path: Path) -> None:
    """Only the arithmetic in front tells 0..1 RGB from BGR minus a mean; the name `image` alone says nothing."""
    Rcnn().write_benchmark(path)
    assert adapt(path, labels=THREE, frame=FRAME).head == "maskrcnn-benchmark"
    assert adapt(path, labels=THREE, frame=FRAME, head="torchvision").head == "torchvision"

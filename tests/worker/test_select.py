"""The laws of selection, with OpenCV's NMSBoxes as the independent reference for overlap suppression."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from shared.manifest import Defaults, Frame, Manifest, Origin
from shared.schema import Detection, Options
from worker.frame import Placement
from worker.output import Output
from worker.select import MAX_CANDIDATES, select, suppress

LABELS = ("cat", "dog", "bird")
MANIFEST = Manifest(
    name="three",
    version="1",
    sha256="0" * 64,
    labels=LABELS,
    frame=Frame(width=100, height=100),
    defaults=Defaults(threshold=0.3, iou=0.5),
    origin=Origin(source="made here", licence="Apache-2.0"),
)
WHOLE = Placement(200, 100)


def output(*rows: tuple[tuple[float, float, float, float], tuple[float, float, float]]) -> Output:
    boxes, scores = zip(*rows, strict=True) if rows else ((), ())
    return Output(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32).reshape(-1, 3))


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def brief(found: tuple[Detection, ...]) -> list[tuple[str, float]]:
    return [(one.label, one.confidence) for one in found]


def test_a_detection_in_pixels() -> None:
    (found,) = select(output(((0.1, 0.2, 0.6, 0.9), (0.1, 0.91236, 0.2))), Options(), MANIFEST, WHOLE)
    assert (found.label, found.class_id, found.confidence) == ("dog", 1, 0.9124)
    assert found.box.model_dump() == {"x": 20, "y": 20, "width": 100, "height": 70}


def test_strongest_first_and_one_box_under_two_labels() -> None:
    rows = output((LEFT, (0.4, 0.8, 0)), (RIGHT, (0.6, 0, 0)))
    assert brief(select(rows, Options(), MANIFEST, WHOLE)) == [("dog", 0.8), ("cat", 0.6), ("cat", 0.4)]


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (Options(), ["cat"]),  # the manifest's 0.3
        (Options(threshold=0.2), ["cat", "dog", "bird"]),
        (Options(threshold=0.5), ["cat"]),  # at the threshold counts
        (Options(threshold=0.51), []),
        (Options(thresholds={"dog": 0.25}), ["cat", "dog"]),
        (Options(thresholds={"cat": 0.9}, threshold=0.2), ["dog", "bird"]),
        (Options(classes=("dog", "bird"), threshold=0.0), ["dog", "bird"]),
        (Options(classes=(), threshold=0.0), []),
        (Options(classes=("unicorn",), thresholds={"unicorn": 0.0}, threshold=0.0), []),
        (Options(threshold=0.0, max_detections=2), ["cat", "dog"]),
    ],
)
def test_options_choose(options: Options, labels: list[str]) -> None:
    found = select(output((LEFT, (0.5, 0.25, 0.2))), options, MANIFEST, WHOLE)
    assert [one.label for one in found] == labels


def test_a_probability_of_0_is_no_detection() -> None:
    assert select(output((LEFT, (0, 0, 0))), Options(threshold=0), MANIFEST, WHOLE) == ()


def test_no_rows_and_nan_give_nothing() -> None:
    assert select(output(), Options(threshold=0), MANIFEST, WHOLE) == ()
    nan = float("nan")
    assert select(output((LEFT, (nan, nan, nan))), Options(threshold=0), MANIFEST, WHOLE) == ()


def test_overlaps_are_suppressed_within_a_class_only() -> None:
    near = (0.0, 0.0, 0.5, 0.9)  # IoU with LEFT is 0.9
    rows = output((LEFT, (0.8, 0, 0)), (near, (0.7, 0.6, 0)))
    assert brief(select(rows, Options(), MANIFEST, WHOLE)) == [("cat", 0.8), ("dog", 0.6)]
    assert brief(select(rows, Options(iou=0.95), MANIFEST, WHOLE)) == [("cat", 0.8), ("cat", 0.7), ("dog", 0.6)]
    assert len(select(rows, Options(iou=0), MANIFEST, WHOLE)) == 2


def test_boxes_are_clipped_and_what_lies_outside_is_dropped() -> None:
    rows = output(
        ((-0.5, 0.5, 0.5, 2.0), (0.9, 0, 0)), ((1.1, 0, 1.5, 1), (0.8, 0, 0)), ((0.7, 0, 0.7, 1), (0.7, 0, 0))
    )
    (found,) = select(rows, Options(), MANIFEST, WHOLE)
    assert found.box.model_dump() == {"x": 0, "y": 50, "width": 100, "height": 50}


def test_letterbox_bars_are_taken_off() -> None:
    placement = Placement(200, 100, offset=(0.0, 0.25), scale=(1.0, 0.5))
    (found,) = select(output(((0.25, 0.375, 0.75, 0.625), (0.9, 0, 0))), Options(), MANIFEST, placement)
    assert found.box.model_dump() == {"x": 50, "y": 25, "width": 100, "height": 50}


def test_a_model_with_its_own_suppression() -> None:
    rows = Output(
        np.array([LEFT, LEFT, RIGHT, RIGHT, LEFT], np.float32),
        np.array([0.5, 0.9, 0.2, 0.8, 0.7], np.float32),
        np.array([0, 0, 1, 2, -1], np.int64),
    )
    manifest = MANIFEST.model_copy(update={"single_label": True, "suppressed": True})
    assert brief(select(rows, Options(), manifest, WHOLE)) == [("cat", 0.9), ("bird", 0.8), ("cat", 0.5)]
    assert brief(select(rows, Options(classes=("bird",)), manifest, WHOLE)) == [("bird", 0.8)]


@pytest.mark.parametrize(
    ("single_label", "suppressed", "kept"), [(True, False, 3), (True, True, 4), (False, False, 3), (False, True, 4)]
)
def test_one_label_a_box_and_no_overlaps_are_two_facts(single_label: bool, suppressed: bool, kept: int) -> None:
    """A softmax tree names one class for each box and leaves overlaps; DETR answers every class and leaves none."""
    boxes = np.array([LEFT, LEFT, LEFT, RIGHT], np.float32)
    strength, labels = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 0, 1, 0], np.int64)
    rows = Output(boxes, strength, labels) if single_label else Output(boxes, np.eye(3, dtype=np.float32)[labels])
    if not single_label:
        rows = Output(boxes, rows.scores * strength[:, None])
    manifest = MANIFEST.model_copy(update={"single_label": single_label, "suppressed": suppressed})
    assert len(select(rows, Options(iou=0.5), manifest, WHOLE)) == kept


def test_a_picture_without_rows_and_labels_that_the_model_does_not_have() -> None:
    manifest = MANIFEST.model_copy(update={"single_label": True, "suppressed": True})
    none = Output(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert select(none, Options(threshold=0), manifest, WHOLE) == ()
    strange = Output(np.array([LEFT] * 3, np.float32), np.ones(3, np.float32), np.array([-1, 3, 90], np.int64))
    assert select(strange, Options(threshold=0), manifest, WHOLE) == ()


def test_a_threshold_of_0_over_many_boxes_stays_bounded() -> None:
    rng = np.random.default_rng(0)
    low = rng.random((20_000, 2), np.float32) * 0.9
    boxes = np.concatenate([low, low + 0.001 + 0.1 * rng.random((20_000, 2), np.float32)], axis=1)
    rows = Output(boxes, rng.random((20_000, 3), np.float32))
    found = select(rows, Options(threshold=0, max_detections=1000), MANIFEST, WHOLE)
    assert rows.scores.size > MAX_CANDIDATES
    assert len(found) == 1000
    assert found[0].confidence == pytest.approx(float(rows.scores.max()), abs=1e-4)


unit = st.floats(0, 1, width=32)


@st.composite
def scenes(draw: st.DrawFn) -> Output:
    count = draw(st.integers(0, 24))
    corners = draw(arrays(np.float32, (count, 4), elements=st.floats(-0.25, 1.25, width=32)))
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    return Output(boxes, draw(arrays(np.float32, (count, 3), elements=unit)))


@given(scene=scenes(), threshold=unit, iou=unit, suppressed=st.booleans())
def test_a_label_for_each_box_is_a_score_for_each_class_of_which_one_counts(
    scene: Output, threshold: float, iou: float, suppressed: bool
) -> None:
    labels = scene.scores.argmax(axis=1) if len(scene.scores) else np.zeros(0, np.int64)
    strength = scene.scores.max(axis=1, initial=0)
    labelled = Output(scene.boxes, strength, labels.astype(np.int64))
    spread = Output(scene.boxes, np.eye(3, dtype=np.float32)[labels] * strength[:, None])
    options = Options(threshold=threshold, iou=iou)
    one, other = (
        MANIFEST.model_copy(update={"single_label": single, "suppressed": suppressed}) for single in (True, False)
    )
    assert select(labelled, options, one, WHOLE) == select(spread, options, other, WHOLE)


@given(scene=scenes(), threshold=unit, iou=unit, most=st.integers(1, 40), width=st.integers(1, 900))
def test_laws(scene: Output, threshold: float, iou: float, most: int, width: int) -> None:
    options = Options(threshold=threshold, iou=iou, max_detections=most)
    placement = Placement(width, 333)
    found = select(scene, options, MANIFEST, placement)
    assert len(found) <= most
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    for one in found:
        assert one.confidence >= round(threshold, 4) - 1e-4
        assert one.box.width > 0
        assert one.box.height > 0
        assert one.box.x >= 0
        assert one.box.y >= 0
        assert round(one.box.x + one.box.width, 2) <= width
        assert round(one.box.y + one.box.height, 2) <= 333
    every = select(scene, options.model_copy(update={"max_detections": 1000}), MANIFEST, placement)
    assert found == every[:most]  # a smaller limit is a prefix
    stricter = select(scene, options.model_copy(update={"threshold": min(1.0, threshold + 0.1)}), MANIFEST, placement)
    assert {(one.class_id, one.box) for one in stricter} <= {(one.class_id, one.box) for one in every}


def iou_of(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    sides = np.maximum(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0)
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, two)]
    return float(np.prod(sides)) / (sum(areas) - float(np.prod(sides)))


@settings(max_examples=200)
@given(
    corners=arrays(np.int64, st.tuples(st.integers(1, 30), st.just(4)), elements=st.integers(0, 40)),
    iou=st.sampled_from([0.0, 0.1, 0.33, 0.45, 0.5, 0.77, 1.0]),
)
def test_suppression_is_opencv_s_and_keeps_its_promise(corners: NDArray[np.int64], iou: float) -> None:
    low = np.minimum(corners[:, :2], corners[:, 2:])
    boxes = np.concatenate([low, np.maximum(corners[:, :2], corners[:, 2:]) + 1], 1).astype(np.float64)
    kept = suppress(boxes, np.zeros(len(boxes), np.intp), iou, 1000)
    rectangles = [(x, y, right - x, bottom - y) for x, y, right, bottom in boxes.tolist()]
    falling = [1 - k / 1000 for k in range(len(boxes))]
    near = [abs(iou_of(a, b) - iou) < 1e-6 for k, a in enumerate(boxes) for b in boxes[:k]]
    if not any(near):  # OpenCV compares in float32: at the very threshold either answer is right
        reference = cv2.dnn.NMSBoxes(rectangles, falling, 0.0, iou)
        assert kept.tolist() == sorted(int(k) for k in reference)
    for k in range(len(boxes)):
        stronger = [iou_of(boxes[k], boxes[j]) for j in kept if j < k]
        assert (k in kept) == all(overlap <= iou + 1e-9 for overlap in stronger)
    np.testing.assert_array_equal(suppress(boxes[kept], np.zeros(len(kept), np.intp), iou, 1000), range(len(kept)))


@given(scene=scenes(), iou=unit)
def test_classes_do_not_see_each_other(scene: Output, iou: float) -> None:
    together = select(scene, Options(threshold=0.1, iou=iou, max_detections=1000), MANIFEST, WHOLE)
    for label in LABELS:
        options = Options(threshold=0.1, iou=iou, max_detections=1000, classes=(label,))
        assert select(scene, options, MANIFEST, WHOLE) == tuple(one for one in together if one.label == label)

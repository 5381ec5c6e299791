"""When two outcomes say the same: cases by hand, and laws that hold for any detections."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotter.agreement import RIM, Agreement, compare, match, overlap, search_from
from spotter.errors import StackError
from spotter.job import Box, Detection, Picture

SQUARE = Box(0, 0, 10, 10)


def found(confidence: float, label: str = "dog", box: Box = SQUARE) -> Detection:
    return Detection(label, 0, confidence, box)


def picture(*detections: Detection, status: str = "succeeded", size: tuple[int, int] = (100, 100)) -> Picture:
    return Picture(0, None, status, size, detections, None, {}, {})


def agreement(expected: list[Picture], other: list[Picture], threshold: float = 0.25) -> Agreement:
    return compare(expected, other, threshold)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (SQUARE, 1.0),
        (Box(5, 0, 10, 10), 1 / 3),
        (Box(0, 0, 10, 5), 0.5),
        (Box(5, 5, 10, 10), 25 / 175),
        (Box(10, 0, 10, 10), 0.0),
        (Box(0, 20, 5, 5), 0.0),
        (Box(3, 3, 0, 0), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(box: Box, expected: float) -> None:
    assert overlap(SQUARE, box) == pytest.approx(expected)
    assert overlap(box, SQUARE) == pytest.approx(expected)


def test_figures_of_one_comparison() -> None:
    expected = [picture(found(0.9), found(0.5, "cat")), picture(found(0.8)), picture()]
    other = [picture(found(0.88), found(0.56, "cat")), picture(found(0.8, "wolf")), picture()]
    result = agreement(expected, other)
    assert (result.pictures, result.detections, result.extra) == (3, 3, 1)
    assert result.matched == pytest.approx(2 / 3)
    assert result.confidence_drift == pytest.approx(0.04)
    assert result.largest_drift == pytest.approx(0.06)
    assert result.different == (1,)


@pytest.mark.parametrize(
    ("other", "matched"),
    [
        ([found(0.9, box=Box(0, 0, 10, 5))], 1.0),
        ([found(0.9, box=Box(0, 0, 10, 4.9))], 0.0),
        ([found(0.9, "cat")], 0.0),
        ([], 0.0),
    ],
)
def test_the_same_object_has_the_label_and_half_of_the_area(other: list[Detection], matched: float) -> None:
    assert agreement([picture(found(0.9))], [picture(*other)]).matched == matched


def test_a_detection_has_one_partner_and_the_nearest_one() -> None:
    near, far = Box(1, 0, 10, 10), Box(3, 0, 10, 10)
    pairs, missing, left = match([found(0.9), found(0.3)], [found(0.8, box=far), found(0.7, box=near)])
    assert [(one.confidence, other.box) for one, other in pairs] == [(0.9, near), (0.3, far)]
    assert (missing, left) == ([], [])
    pairs, missing, left = match([found(0.9), found(0.8)], [found(0.7)])
    assert ([one.confidence for one, _ in pairs], [one.confidence for one in missing], left) == ([0.9], [0.8], [])


def test_the_rim_is_neither_missing_nor_new() -> None:
    reference = [picture(found(0.26), found(0.6, "cat"))]
    assert search_from(reference, 0.25) == pytest.approx(0.25 - RIM)
    assert search_from(reference, 0.3) == pytest.approx(0.26 - RIM)
    assert search_from([picture(found(0.01))], 0.02) == 0
    below = [picture(found(0.21), found(0.6, "cat"), found(0.29, "kite"))]
    assert agreement(reference, below).different == ()
    assert agreement(reference, [picture(found(0.26), found(0.6, "cat"), found(0.31, "kite"))]).extra == 1


def test_nothing_expected_and_nothing_found_is_no_disagreement() -> None:
    assert agreement([picture()], [picture()]) == Agreement(1, 0, 1.0, 0.0, 0.0, 0, ())


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(StackError, match="1 pictures cannot be compared with 2"):
        agreement([picture(), picture()], [picture()])
    with pytest.raises(StackError, match="Picture 0 failed"):
        agreement([picture()], [picture(status="failed")])
    with pytest.raises(StackError, match="200 x 100 pixels where 100 x 100 were recorded"):
        agreement([picture()], [picture(size=(200, 100))])


places = st.floats(0, 80, allow_nan=False)
sizes = st.floats(1, 20, allow_nan=False)
detections = st.builds(
    Detection,
    label=st.sampled_from(["dog", "cat"]),
    class_id=st.just(0),
    confidence=st.floats(0.25, 1),
    box=st.builds(Box, x=places, y=places, width=sizes, height=sizes),
)
lists = st.lists(detections, max_size=8)


@given(lists)
def test_everything_agrees_with_itself(some: list[Detection]) -> None:
    result = agreement([picture(*some)], [picture(*reversed(some))])
    assert (result.detections, result.matched, result.extra, result.different) == (len(some), 1.0, 0, ())


@given(lists, lists)
def test_nothing_is_counted_twice_and_nothing_is_lost(some: list[Detection], others: list[Detection]) -> None:
    pairs, missing, left = match(some, others)

    def ids(values: list[Any]) -> list[int]:
        return sorted(map(id, values))

    assert ids([one for one, _ in pairs] + missing) == ids(some)
    assert ids([other for _, other in pairs] + left) == ids(others)
    for one, other in pairs:
        assert one.label == other.label
        assert overlap(one.box, other.box) >= 0.5


@given(lists, lists)
def test_figures_stay_in_their_ranges(some: list[Detection], others: list[Detection]) -> None:
    result = agreement([picture(*some)], [picture(*others)])
    assert 0 <= result.matched <= 1
    assert 0 <= result.confidence_drift <= result.largest_drift + 1e-12 <= 0.75 + 1e-9
    assert result.extra <= len(others)

"""Annotated pictures: a readable JPEG of the same size, whatever the picture and the boxes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from shared.schema import Box, Detection
from worker.draw import draw


def detection(box: tuple[float, float, float, float], class_id: int = 1, label: str = "dog") -> Detection:
    x, y, width, height = box
    return Detection(label=label, class_id=class_id, confidence=0.83, box=Box(x=x, y=y, width=width, height=height))


def opened(data: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image).astype(np.int64)


def grey(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 100, np.uint8)


def test_without_detections_the_picture_is_as_it_was() -> None:
    found = opened(draw(grey(64, 48), ()))
    assert found.shape == (48, 64, 3)
    assert np.abs(found - 100).max() <= 2


def test_a_box_is_drawn_round_its_object_and_not_over_it() -> None:
    found = opened(draw(grey(400, 300), [detection((100, 100, 200, 150))]))
    changed = np.abs(found - 100).max(axis=2) > 40
    assert changed[175, 99:103].any()  # left edge
    assert changed[175, 297:301].any()  # right edge
    assert changed[248:251, 200].any()  # lower edge
    assert not changed[110:240, 110:290].any()  # inside
    assert changed[85:100, 100:160].mean() > 0.5  # the caption, above the box
    assert not changed[:60].any()


def test_classes_have_colours_of_their_own() -> None:
    boxes = [detection((20, 60, 100, 100), class_id=k) for k in (0, 1)]
    one, two = (opened(draw(grey(200, 200), [box]))[110, 20] for box in boxes)
    assert np.abs(one - two).max() > 60


def test_the_input_is_not_touched() -> None:
    image = grey(64, 64)
    image.flags.writeable = False
    draw(image, [detection((10, 10, 20, 20))])
    assert (image == 100).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (16, 16), (3000, 2000)])
def test_any_size(size: tuple[int, int]) -> None:
    found = opened(draw(grey(*size), [detection((0, 0, size[0], size[1]), label="traffic light")]))
    assert found.shape == (size[1], size[0], 3)


@given(
    boxes=st.lists(
        st.tuples(st.floats(0, 120), st.floats(0, 90), st.floats(0.01, 120), st.floats(0.01, 90)), max_size=12
    )
)
def test_any_boxes(boxes: list[tuple[float, float, float, float]]) -> None:
    found = opened(draw(grey(120, 90), [detection(box, class_id=k) for k, box in enumerate(boxes)]))
    assert found.shape == (90, 120, 3)

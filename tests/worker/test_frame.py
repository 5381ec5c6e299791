"""The frame that a network gets of a picture, and the way back. References: OpenCV's DNN module, darknet and YOLOX."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.manifest import Frame, Resize
from worker.frame import Placement, fit
from worker.image import Picture, whole

FRAME = Frame(width=416, height=416)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def test_stretch_is_what_opencv_dnn_samples() -> None:
    image = noise(123, 457)
    frame, placement = fit(whole(image), FRAME, "stretch", "linear")
    blob = cv2.dnn.blobFromImage(image, 1.0, (416, 416), swapRB=False, crop=False)
    np.testing.assert_array_equal(frame, blob[0].transpose(1, 2, 0))
    assert frame.dtype == np.uint8
    assert placement == Placement(457, 123)


def darknet_resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    """darknet's `resize_image` in words: corners on corners, along each axis the two nearest pixels by distance."""
    x = np.linspace(0, image.shape[1] - 1, width)
    y = np.linspace(0, image.shape[0] - 1, height)
    rows = np.stack(
        [[np.interp(x, np.arange(image.shape[1]), row[:, c]) for c in range(3)] for row in image.astype(float)]
    )
    out = [[np.interp(y, np.arange(image.shape[0]), rows[:, c, k]) for k in range(width)] for c in range(3)]
    return np.asarray(out).transpose(2, 1, 0)


@pytest.mark.parametrize(("height", "width"), [(13, 29), (64, 40), (1, 5), (5, 1), (1, 1)])
def test_darknet_interpolation_aligns_the_corners(height: int, width: int) -> None:
    image = noise(height, width)
    frame, _ = fit(whole(image), Frame(width=32, height=24), "stretch", "darknet")
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, darknet_resize(image, 32, 24), atol=0.01)


@pytest.mark.parametrize("interpolation", ["linear", "darknet"])
def test_letterbox_pads_with_grey_as_darknet_does(interpolation: Literal["linear", "darknet"]) -> None:
    image = noise(424, 640)  # 424 * 416 // 640 = 275 rows, so 70 above and 71 below
    frame, placement = fit(whole(image), FRAME, "letterbox", interpolation)
    grey = 127.5 if interpolation == "darknet" else 128
    assert (frame[:70] == grey).all()
    assert (frame[345:] == grey).all()
    assert (frame[70:345] != grey).any(axis=(1, 2)).all()
    assert placement == Placement(640, 424, offset=(0, (416 - 275) / 2 / 416), scale=(1, 275 / 416))


@pytest.mark.parametrize(("height", "width"), [(424, 640), (640, 424), (123, 457), (416, 416), (50, 30)])
def test_corner_is_what_yolox_samples(height: int, width: int) -> None:
    """YOLOX's `preproc` in words: one ratio for both axes, sizes cut to whole pixels, 114 to the right and below."""
    image = noise(height, width)
    frame, placement = fit(whole(image), FRAME, "corner", "linear", 114)
    ratio = min(416 / height, 416 / width)
    inner = cv2.resize(image, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
    padded = np.full((416, 416, 3), 114, np.uint8)
    padded[: inner.shape[0], : inner.shape[1]] = inner
    np.testing.assert_array_equal(frame, padded)
    assert placement == Placement(width, height, scale=(inner.shape[1] / 416, inner.shape[0] / 416))


@pytest.mark.parametrize(("padding", "grey"), [(114, 114), (0, 0), (255, 255), (127.5, 128), (127.4, 127)])
@pytest.mark.parametrize("resize", ["letterbox", "corner"])
def test_bars_have_the_padding_of_the_model(resize: Literal["letterbox", "corner"], padding: float, grey: int) -> None:
    image = np.full((10, 20, 3), 55, np.uint8)
    frame, _ = fit(whole(image), Frame(width=20, height=30), resize, "linear", padding)
    assert frame.dtype == np.uint8
    assert ((frame == 55).sum(), (frame == grey).sum()) == (600, 1200)
    exact, _ = fit(whole(image), Frame(width=20, height=30), resize, "darknet", padding)
    assert exact[-1, -1].tolist() == pytest.approx([padding] * 3)


sides = st.integers(1, 3000)


@given(
    width=sides,
    height=sides,
    frame_width=st.integers(1, 64),
    frame_height=st.integers(1, 64),
    resize=st.sampled_from(["stretch", "letterbox", "corner"]),
)
def test_any_picture_fits_any_frame(
    width: int, height: int, frame_width: int, frame_height: int, resize: Resize
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    frame, placement = fit(whole(image), Frame(width=frame_width, height=frame_height), resize, "linear", 114)
    assert frame.shape == (frame_height, frame_width, 3)
    assert 0 <= placement.offset[0] < 0.5
    assert 0 <= placement.offset[1] < 0.5
    if resize != "letterbox":
        assert placement.offset == (0, 0)
    seen = (frame == 0).all(axis=2).sum() / (frame_width * frame_height)
    assert seen == pytest.approx(placement.scale[0] * placement.scale[1])
    corners = np.array([[*placement.offset, *(np.array(placement.offset) + placement.scale)]], np.float32)
    np.testing.assert_allclose(
        placement.to_picture(corners), [[0, 0, width, height]], rtol=1e-4, atol=1e-3 * max(width, height)
    )


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "corner"])
def test_a_picture_decoded_smaller_lies_where_the_whole_one_does(resize: Resize) -> None:
    """The place is that of 3999 x 3001 pixels, though 500 x 376 came; so boxes are those of the whole picture."""
    less = Picture(noise(376, 500), 3999, 3001)
    frame, placement = fit(less, FRAME, resize, "linear", 114)
    _, wanted = fit(whole(np.zeros((3001, 3999, 3), np.uint8)), FRAME, resize, "linear", 114)
    assert placement == wanted
    assert frame.shape == (416, 416, 3)
    corners = placement.to_picture(np.array([[*placement.offset, *np.add(placement.offset, placement.scale)]], "f4"))
    assert corners[0] == pytest.approx([0, 0, 3999, 3001], abs=0.01)

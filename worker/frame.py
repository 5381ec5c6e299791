"""A picture -> the network's frame, and the way back from frame boxes to picture pixels.

Knows OpenCV (resizing: fifteen times faster than Pillow's) and what a manifest says of frames. Does not know files, nor
what the network makes of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.manifest import Frame, Interpolation, Resize, Traits
from worker.image import Picture, Pixels

Floats: TypeAlias = NDArray[np.float32]
Frames: TypeAlias = NDArray[np.uint8 | np.float32]

GREY = 127.5
"""Letterbox bars: darknet's 0.5 of 1. In a uint8 frame 128, rounded half to even."""


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in its frame: frame fraction = offset + picture fraction * scale, for each axis.

    Attributes:
        width: of the upright picture, pixels.
        height: likewise.
        offset: x, y of the picture's corner, 0..1 of the frame.
        scale: x, y part of the frame that the picture covers, 0..1.
    """

    width: int
    height: int
    offset: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)

    def to_picture(self, boxes: Floats) -> NDArray[np.float64]:
        """Boxes (K, 4) x1 y1 x2 y2, 0..1 of the frame -> the same in pixels of the picture, not clipped to it."""
        corner = np.array(self.offset * 2)
        pixels = np.array((self.width / self.scale[0], self.height / self.scale[1]) * 2)
        return np.asarray((boxes.astype(np.float64) - corner) * pixels)


def fit(
    picture: Picture,
    frame: Frame,
    resize: Resize,
    interpolation: Interpolation,
    padding: float = GREY,
) -> tuple[Frames, Placement]:
    """A picture -> the network's frame (`frame.height`, `frame.width`, 3) RGB, and its placement.

    `linear` gives uint8, and with `stretch` exactly what OpenCV's `blobFromImage` samples. `darknet` gives float32,
    0..255 and not rounded, as darknet's `resize_image`: rounding alone moves its confidences by up to 0.02.
    `letterbox` is darknet's `letterbox_image` on the way in and `correct_yolo_boxes` on the way out; where the bars are
    odd these two differ by half a frame pixel, and so do the boxes of darknet, which are the reference. `corner` leaves
    the picture at the top left. `padding` is the grey level of the bars, 0..255.
    """
    image, width, height = picture.pixels, picture.width, picture.height
    scale = RESAMPLERS[interpolation]
    if resize == "stretch":
        return scale(image, frame.width, frame.height), Placement(width, height)
    inner_width, inner_height = _letterbox_size(width, height, frame)
    spare_width, spare_height = (frame.width - inner_width, frame.height - inner_height)
    if resize == "corner":
        spare_width = spare_height = 0
    left, top = spare_width // 2, spare_height // 2
    inner = scale(image, inner_width, inner_height)
    grey = padding if interpolation == "darknet" else round(padding)
    boxed: Frames = np.full((frame.height, frame.width, 3), grey, inner.dtype)
    boxed[top : top + inner_height, left : left + inner_width] = inner
    offset = (spare_width / 2 / frame.width, spare_height / 2 / frame.height)
    covered = (inner_width / frame.width, inner_height / frame.height)
    return boxed, Placement(width, height, offset, covered)


def fit_to(model: Traits, picture: Picture) -> tuple[Frames, Placement]:
    """`fit` as the model's manifest says."""
    return fit(picture, model.frame, model.resize, model.interpolation, model.padding)


def enough_for(model: Traits, *, scaled: bool = True) -> Frame | None:
    """How large a picture must be decoded for this model; None: whole, as it always is where not `scaled`, or where the
    model's numbers are to be darknet's own.
    """
    return model.frame if scaled and model.interpolation == "linear" else None


def _letterbox_size(width: int, height: int, frame: Frame) -> tuple[int, int]:
    """Largest size of the picture's aspect inside the frame, cut to whole pixels as darknet does, at least 1."""
    if np.float32(frame.width) / np.float32(width) < np.float32(frame.height) / np.float32(height):
        return frame.width, max(1, height * frame.width // width)
    return max(1, width * frame.height // height), frame.height


def _linear(image: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _corner_aligned(image: Pixels, width: int, height: int) -> Floats:
    """Bilinear with the corner pixels on top of each other: darknet's `resize_image`."""
    low, high, part = _taps(image.shape[1], width)
    rows = image[:, low] * (1 - part)[:, None] + image[:, high] * part[:, None]
    low, high, part = _taps(image.shape[0], height)
    out = rows[low] * (1 - part)[:, None, None] + rows[high] * part[:, None, None]
    return np.asarray(out, np.float32)


def _taps(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For each of `wanted` places along an axis of `size` pixels: pixel before, pixel after, the latter's share.

    In float32 as darknet computes it, so that positions fall on the same side of a pixel.
    """
    step = np.float32(size - 1) / np.float32(max(wanted - 1, 1))
    place = np.arange(wanted, dtype=np.float32) * step
    place[-1] = size - 1
    low = np.minimum(place.astype(np.intp), size - 1)
    return low, np.minimum(low + 1, size - 1), place - low.astype(np.float32)


RESAMPLERS: dict[str, Callable[[Pixels, int, int], Frames]] = {"linear": _linear, "darknet": _corner_aligned}

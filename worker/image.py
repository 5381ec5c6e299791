"""Bytes of a picture -> upright RGB array -> the network's frame, and the way back from frame boxes to picture pixels.

Knows Pillow (decoding) and OpenCV (resizing: fifteen times faster than Pillow's). Does not know where bytes come from,
nor what the network makes of a frame.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin  # noqa: F401  (registers WEBP, so that Pillow need not load every plugin)

from shared.errors import ImageTooLarge, InvalidImage, Overloaded, SpotterError
from shared.manifest import Frame, Interpolation, Resize, Traits
from worker.bare import BARE
from worker.upright import Pixels as Pixels  # what `decode` gives: re-exported
from worker.upright import upright

Floats: TypeAlias = NDArray[np.float32]
Frames: TypeAlias = NDArray[np.uint8 | np.float32]

FORMATS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: head.startswith(b"\xff\xd8\xff"),
    "PNG": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "GIF": lambda head: head.startswith((b"GIF87a", b"GIF89a")),
    "BMP": lambda head: head.startswith(b"BM"),
}
"""What is read, by Pillow's format name, told by the first bytes. No TIFF: libtiff prints the file's text to stderr."""

GREY = 127.5
"""Letterbox bars: darknet's 0.5 of 1. In a uint8 frame 128, rounded half to even."""

MAX_SIDE = 16_384
"""Longest side in pixels; beyond it resizing tables grow without any use."""

BYTES_PER_PIXEL = {"JPEG": 13, "PNG": 9, "WEBP": 18, "GIF": 9, "BMP": 9}
"""Peak memory of one decode, measured at 16 megapixels: the codec's own planes, Pillow's pixels, and the array.

The most that any kind of each format took: 12.1 (progressive CMYK), 8.0, 17.3 (two canvases), 5.0, 7.8."""


class Budget(Protocol):
    """Memory for decoding: `Decoder`'s own, or that of the process which a child decodes for."""

    def take(self, size: int, /) -> AbstractContextManager[None]:
        """Hold `size` bytes for the time of the block. Raises Overloaded: they did not come free in time."""
        ...


class Decoder:
    """Decodes pictures in many threads at once, within one memory budget.

    Construct it once, in the composition root: it sets Pillow's process-wide bomb limit, turns the bomb warning into an
    error and silences Pillow's remarks on damaged metadata. Warning filters are not safe to change while threads run,
    so this happens here and not for each picture.

    Args:
        max_pixels: width times height of the largest picture decoded.
        memory_bytes: for all pictures in decoding together; a picture counts `BYTES_PER_PIXEL` for each pixel, and
            one that counts more than all of it is refused. Beside this each takes its file twice and 15 MB at most.
        wait_s: how long a picture may wait for its share of the memory.
    """

    def __init__(self, max_pixels: int, memory_bytes: int, wait_s: float = 30.0) -> None:
        self._max_pixels, self._memory_bytes = max_pixels, memory_bytes
        self.budget: Budget = _ByteBudget(memory_bytes, wait_s)
        Image.MAX_IMAGE_PIXELS = max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

    def decode(self, data: bytes) -> Pixels:
        """The first frame of a JPEG, PNG, WEBP, GIF or BMP, upright, as RGB uint8 (H, W, 3).

        EXIF orientation is applied, and ignored where it is damaged; `upright` says what becomes of colours. Colour
        profiles and all other metadata are ignored (their parsers are attack surface). libjpeg's scaled decoding is not
        used: boxes and numbers are those of the full picture.

        Raises:
            InvalidImage: no such format, damaged, cut short, or in more parts than a picture needs.
            ImageTooLarge: too many pixels for `max_pixels` or for `memory_bytes`, known from the header before any
                pixel is decoded.
            Overloaded: no memory share came free within `wait_s`.
        """
        kind = next((name for name, accepts in FORMATS.items() if accepts(data[:16])), None)
        if kind is None:
            raise InvalidImage(f"The bytes are not a picture of a known format: use {', '.join(FORMATS)}.")
        try:
            # The one place where any exception is the picture's fault: Pillow raises a dozen kinds on hostile files.
            bare = BARE[kind](data)
            with Image.open(io.BytesIO(bare.data), formats=(kind,)) as image:
                self._refuse_too_large(image.size)
                needed = image.width * image.height * BYTES_PER_PIXEL[kind]
                if needed > self._memory_bytes:
                    raise ImageTooLarge(f"Decoding takes {needed:,} bytes of memory; there are {self._memory_bytes:,}.")
                with self.budget.take(needed):
                    image.load()
                    return upright(image, bare.orientation)
        except SpotterError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageTooLarge(f"The picture has more than {self._max_pixels:,} pixels.") from error
        except Exception as error:
            raise InvalidImage(f"The {kind} picture is damaged or cut short.") from error

    def _refuse_too_large(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self._max_pixels:
            raise ImageTooLarge(f"{width} x {height} pixels are more than the {self._max_pixels:,} allowed.")
        if max(width, height) > MAX_SIDE:
            raise ImageTooLarge(f"{width} x {height} pixels: no side may be longer than {MAX_SIDE:,}.")


class _ByteBudget:
    """A semaphore that counts bytes."""

    def __init__(self, total: int, wait_s: float) -> None:
        self._total = total
        self._free = total
        self._wait_s = wait_s
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        size = min(size, self._total)
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= size, self._wait_s):
                raise Overloaded(f"No memory for decoding came free within {self._wait_s:g} s.")
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


# -- the network's frame --------------------------------------------------------------------------------------------


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
    image: Pixels,
    frame: Frame,
    resize: Resize,
    interpolation: Interpolation,
    padding: float = GREY,
) -> tuple[Frames, Placement]:
    """A picture (H, W, 3) uint8 RGB -> the network's frame (`frame.height`, `frame.width`, 3) RGB, and its placement.

    `linear` gives uint8, and with `stretch` exactly what OpenCV's `blobFromImage` samples. `darknet` gives float32,
    0..255 and not rounded, as darknet's `resize_image`: rounding alone moves its confidences by up to 0.02.
    `letterbox` is darknet's `letterbox_image` on the way in and `correct_yolo_boxes` on the way out; where the bars are
    odd these two differ by half a frame pixel, and so do the boxes of darknet, which are the reference. `corner` leaves
    the picture at the top left. `padding` is the grey level of the bars, 0..255.
    """
    height, width = image.shape[:2]
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


def fit_to(model: Traits, image: Pixels) -> tuple[Frames, Placement]:
    """`fit` as the model's manifest says."""
    return fit(image, model.frame, model.resize, model.interpolation, model.padding)


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

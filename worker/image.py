"""Bytes of a picture -> upright RGB pixels, within bounds of memory and size.

Knows Pillow and libjpeg's scaled decoding. Does not know where bytes come from, nor what is made of the pixels.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, WebPImagePlugin  # noqa: F401  (registers WEBP, so that Pillow need not load every plugin)

from shared.errors import ImageTooLarge, InvalidImage, Overloaded, SpotterError
from shared.manifest import Frame
from worker.bare import BARE
from worker.upright import TRANSPOSED, upright
from worker.upright import Pixels as Pixels  # what `decode` gives: re-exported

FORMATS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: head.startswith(b"\xff\xd8\xff"),
    "PNG": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "GIF": lambda head: head.startswith((b"GIF87a", b"GIF89a")),
    "BMP": lambda head: head.startswith(b"BM"),
}
"""What is read, by Pillow's format name, told by the first bytes. No TIFF: libtiff prints the file's text to stderr."""

MAX_SIDE = 16_384
"""Longest side in pixels; beyond it resizing tables grow without any use."""

BYTES_PER_PIXEL = {"JPEG": 13, "PNG": 9, "WEBP": 18, "GIF": 9, "BMP": 9}
"""Peak memory of one decode, measured at 16 megapixels: the codec's own planes, Pillow's pixels, and the array.

The most that any kind of each format took: 12.1 (progressive CMYK), 8.0, 17.3 (two canvases), 5.0, 7.8."""
KEPT_BYTES_PER_PIXEL = 8
"""Of a JPEG's, what does not shrink with its scale: the coefficients of a progressive CMYK picture. Measured at 1/2,
1/4 and 1/8: 9.05, 8.3 and 8.1 bytes for each pixel of the whole picture; of a baseline one 2.7, 0.9 and 0.2."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: RGB uint8 (H, W, 3), upright; all of them, or fewer, where fewer were asked for.
        width: of the whole upright picture, pixels.
        height: likewise.
    """

    pixels: Pixels
    width: int
    height: int

    @property
    def whole(self) -> bool:
        """Whether all pixels are there."""
        return self.pixels.shape[:2] == (self.height, self.width)


def whole(pixels: Pixels) -> Picture:
    """A picture all of whose pixels (H, W, 3) are these."""
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


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

    def decode(self, data: bytes, at_least: Frame | None = None) -> Picture:
        """The first frame of a JPEG, PNG, WEBP, GIF or BMP, upright.

        EXIF orientation is applied, and ignored where it is damaged; `upright` says what becomes of colours. Colour
        profiles and all other metadata are ignored (their parsers are attack surface).

        Args:
            at_least: so large the pixels must be. A JPEG of twice, four or eight times that size or more is decoded to
                1/2, 1/4 or 1/8 of its sides by libjpeg, which averages what it leaves out (decision 28). None: all.

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
                turned = bare.orientation in TRANSPOSED
                width, height = image.size[::-1] if turned else image.size
                needed = _bytes_needed(kind, width * height, _scale(image, at_least, turned))
                if needed > self._memory_bytes:
                    raise ImageTooLarge(f"Decoding takes {needed:,} bytes of memory; there are {self._memory_bytes:,}.")
                with self.budget.take(needed):
                    image.load()
                    return Picture(upright(image, bare.orientation), width, height)
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


def _scale(image: Image.Image, at_least: Frame | None, turned: bool) -> float:
    """Have a large JPEG decoded smaller. The part of its pixels that will be left, 0..1."""
    if at_least is None:
        return 1.0
    whole = image.width * image.height
    image.draft(None, (at_least.height, at_least.width) if turned else (at_least.width, at_least.height))
    return image.width * image.height / whole


def _bytes_needed(kind: str, pixels: int, left: float) -> int:
    most = BYTES_PER_PIXEL[kind]
    kept = min(most, KEPT_BYTES_PER_PIXEL)
    return round(pixels * (kept + (most - kept) * left))


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

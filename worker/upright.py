"""A picture that Pillow has decoded, in whatever mode, and how it lies -> its pixels, upright, RGB, 8 bits.

Band by band, so that beside Pillow's pixels and the result there is never a third copy of a large picture. Knows
colours, transparency and the eight orientations; not files, and not which pictures may be decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels: TypeAlias = NDArray[np.uint8]

BACKGROUND = (255, 255, 255)
"""Transparent pixels are laid on white."""

BAND_PIXELS = 1 << 20
"""Up to this many pixels are converted at once; with all copies on the way they take some 15 MB."""

_TURN: dict[int, Callable[[Pixels], cv2.typing.MatLike]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE), 0),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""EXIF 2.32 tag 0x0112 -> what makes pixels upright."""
TRANSPOSED = frozenset({5, 6, 7, 8})
"""Orientations where the stored picture's width is the upright one's height."""
_LAST_ROW_FIRST = frozenset({3, 4, 6, 7})
"""Orientations where the stored picture's last row becomes the upright one's first row or column."""


def upright(image: Image.Image, orientation: int) -> Pixels:
    """RGB uint8 (H, W, 3), C-contiguous, height and width as people see them.

    Transparency is laid on `BACKGROUND`. 16-bit grey is divided by 257 and rounded, 16-bit colour keeps its high byte
    (Pillow's reading). CMYK is taken as Adobe writes it, inverted, and turned to RGB without a profile.

    Args:
        orientation: EXIF 2.32 tag 0x0112, 1..8.
    """
    (width, height), turned = image.size, orientation in TRANSPOSED
    rows = max(1, BAND_PIXELS // width)
    if rows >= height:
        return np.asarray(_TURN[orientation](_to_rgb(image)), np.uint8)
    out: Pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = _TURN[orientation](_to_rgb(image.crop((0, top, width, bottom))))
        place = slice(height - bottom, height - top) if orientation in _LAST_ROW_FIRST else slice(top, bottom)
        if turned:
            out[:, place] = band
        else:
            out[place] = band
    return out


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode == "I;16":  # Pillow's own conversion clips everything above 255 to white
        grey = _eight_bits(np.asarray(image), image.info.get("transparency"))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(image, mask=image)
        image = flat
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _eight_bits(deep: NDArray[np.uint16], clear: object) -> Pixels:
    """16-bit grey (H, W) -> 8 bits, divided by 257 and rounded. A transparent level, if any, is background."""
    levels = ((np.arange(65_536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    if isinstance(clear, int):
        levels[clear] = BACKGROUND[0]
    return levels[deep]

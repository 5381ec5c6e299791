"""A picture and its detections -> an annotated JPEG. Knows Pillow only; boxes come in pixels of this very picture."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shared.schema import Box, Detection

QUALITY = 90
Colour: TypeAlias = tuple[int, int, int]
Area: TypeAlias = tuple[float, float, float, float]


def draw(image: NDArray[np.uint8], detections: Sequence[Detection]) -> bytes:
    """JPEG of the picture (H, W, 3) RGB uint8 with a frame and a caption ("dog 83 %") for each detection.

    Lines and letters grow with the picture. Stronger ones are drawn later and so lie on top; captions keep clear of
    stronger captions where there is room.
    """
    picture = Image.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    side = min(picture.size)
    line = max(2, round(side / 200))
    letter = max(11, round(side / 32))
    font = ImageFont.load_default(size=letter)
    places: list[Area] = []
    for found in detections:
        size = canvas.textbbox((0, 0), _caption(found), font=font, anchor="ls")
        places.append(_place(found.box, (size[2] + 2 * line, letter * 1.1 + 2 * line), picture.size, places))
    for found in reversed(detections):
        box = found.box
        right, bottom = min(box.x + box.width, picture.width - 1), min(box.y + box.height, picture.height - 1)
        area = (box.x, box.y, max(right, box.x), max(bottom, box.y))
        canvas.rectangle(area, outline=_colour(found.class_id), width=line)
    for found, place in zip(reversed(detections), reversed(places), strict=True):
        colour = _colour(found.class_id)
        canvas.rectangle(place, fill=colour)
        middle = (place[0] + line, (place[1] + place[3]) / 2)
        canvas.text(middle, _caption(found), fill=_ink(colour), font=font, anchor="lm")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _caption(found: Detection) -> str:
    return f"{found.label} {found.confidence * 100:.0f} %"


def _place(box: Box, size: tuple[float, float], picture: tuple[int, int], taken: Sequence[Area]) -> Area:
    """Where a caption goes in the picture: above its box, in it, under it or at its foot, whichever is free first."""
    width, height = size
    x = max(0.0, min(box.x, picture[0] - width))
    foot = box.y + box.height
    areas: list[Area] = []
    for y in (box.y - height, box.y, foot, foot - height):
        if 0 <= y <= picture[1] - height:
            areas.append((x, y, x + width, y + height))
    free = (area for area in areas if not any(_overlap(area, other) for other in taken))
    return next(free, areas[0] if areas else (x, 0.0, x + width, height))


def _overlap(one: Area, two: Area) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _colour(class_id: int) -> Colour:
    """A colour for each class: steps of the golden ratio round the hues, so that neighbours differ."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * 0.618034 % 1, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever reads better on `colour` (luma of ITU-R BT.601)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)

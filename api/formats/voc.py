"""Pictures -> annotations of Pascal VOC: XML, corners as whole pixels from 1 on, the last one still inside.

Source: the VOC2012 development kit. `confidence` of an object is an addition that its readers pass over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from api.formats.dataset import About, Entry
from api.formats.tables import PICTURES, picture_row, rows
from api.formats.zipped import Zipped
from shared.schema import Box, Detection, ImageSize

MEDIA_TYPE = "application/xml"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not."""


def voc(entry: Entry) -> str:
    """The XML of one answered picture."""
    size = entry.result.image
    assert size is not None
    return (
        "<annotation>\n"
        "  <folder>images</folder>\n"
        f"  <filename>{_text(entry.name)}</filename>\n"
        f"  <path>{_text(entry.address)}</path>\n"
        "  <source><database>Spotter</database></source>\n"
        f"  <size><width>{size.width}</width><height>{size.height}</height><depth>3</depth></size>\n"
        "  <segmented>0</segmented>\n"
        + "".join(_object(one, size) for one in entry.result.detections or ())
        + "</annotation>\n"
    )


def _object(found: Detection, size: ImageSize) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), whole(found.box, size), strict=True)
    return (
        f"  <object>\n    <name>{_text(found.label)}</name>\n    <pose>Unspecified</pose>\n"
        f"    <truncated>0</truncated>\n    <difficult>0</difficult>\n    <confidence>{found.confidence}</confidence>\n"
        "    <bndbox>" + "".join(f"<{side}>{value}</{side}>" for side, value in sides) + "</bndbox>\n  </object>\n"
    )


def whole(box: Box, size: ImageSize) -> tuple[int, int, int, int]:
    """xmin, ymin, xmax, ymax: the first and the last pixel of the box, counted from 1, each side rounded to whole ones.

    At least one pixel, and all of them in the picture.
    """
    left, top = min(round(box.x) + 1, size.width), min(round(box.y) + 1, size.height)
    right, bottom = min(round(box.x + box.width), size.width), min(round(box.y + box.height), size.height)
    return left, top, max(left, right), max(top, bottom)


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", value))


class VocWriter:
    """A ZIP: `Annotations/<stem>.xml` of each answered picture, and `pictures.csv` of all."""

    def __init__(self, about: About) -> None:
        self._zip = Zipped(about.at)
        self._pictures = [rows([PICTURES])]

    def page(self, entries: Sequence[Entry]) -> bytes:
        """The annotations of these pictures."""
        for entry in entries:
            if entry.answered:
                self._zip.add(f"Annotations/{entry.stem}.xml", voc(entry))
        self._pictures.append(rows([picture_row(entry) for entry in entries]))
        return self._zip.taken()

    def end(self) -> bytes:
        """The table of pictures."""
        self._zip.add("pictures.csv", "".join(self._pictures))
        return self._zip.closed()

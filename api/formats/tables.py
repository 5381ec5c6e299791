"""Pictures -> CSV (RFC 4180, UTF-8): a table of detections, and the table of pictures that lies in the archives."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from api.formats.dataset import About, Entry

_PICTURE = ("index", "id", "file_name", "status", "error", "image_width", "image_height")
PICTURES = (*_PICTURE, "address", "detections")
DETECTIONS = (*_PICTURE, "label", "class_id", "confidence", "x", "y", "width", "height")

_Cell = str | int | float | None


def rows(cells: Iterable[Sequence[_Cell]]) -> str:
    """Lines of a table."""
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue()


def picture_row(entry: Entry) -> list[_Cell]:
    """One line of `PICTURES`. How many detections is left open where there is no answer."""
    count = len(entry.result.detections or ()) if entry.answered else None
    return [*_shared(entry), entry.address, count]


class CsvWriter:
    """The table `DETECTIONS`: a line for each, boxes in pixels by corner and size.

    A picture without objects is one line whose columns from `label` on are empty; so is one without an answer, whose
    `status` is not `succeeded`.
    """

    def __init__(self, about: About) -> None:
        self._labels = about.labels
        self._begun = False

    def page(self, entries: Sequence[Entry]) -> bytes:
        """The lines of these pictures."""
        lines: list[Sequence[_Cell]] = [] if self._begun else [DETECTIONS]
        self._begun = True
        for entry in entries:
            shared = _shared(entry)
            found = entry.result.detections or () if entry.answered else ()
            lines += [
                [*shared, one.label, self._labels.id_of(one), one.confidence, *one.box.model_dump().values()]
                for one in found
            ] or [[*shared, *[None] * (len(DETECTIONS) - len(shared))]]
        return rows(lines).encode()

    def end(self) -> bytes:
        """Nothing is left."""
        return b"" if self._begun else rows([DETECTIONS]).encode()


def _shared(entry: Entry) -> list[_Cell]:
    result = entry.result
    size, error = result.image, result.error
    return [
        result.index, entry.id, entry.name, result.status, error.code if error else None,
        size.width if size else None, size.height if size else None,
    ]  # fmt: skip

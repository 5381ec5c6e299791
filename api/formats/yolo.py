"""Pictures -> label files of YOLO: a line an object, `class x y width height`, the middle and size as parts of 1.

Source: Darknet's label files, and `labels/`, `data.yaml` as Ultralytics reads them; `classes.txt` is what other
labelling programs look for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from api.formats.dataset import About, Entry
from api.formats.labels import Labels
from api.formats.tables import PICTURES, picture_row, rows
from api.formats.zipped import Zipped
from shared.schema import PictureResult


def yolo(picture: PictureResult, labels: Labels) -> str:
    """The text of one label file; empty where nothing was found. All numbers lie in 0..1, with six decimals."""
    assert picture.image is not None
    wide, high = picture.image.width, picture.image.height
    lines = []
    for one in picture.detections or ():
        box = one.box
        parts = (
            (box.x + box.width / 2) / wide, (box.y + box.height / 2) / high, box.width / wide, box.height / high,
        )  # fmt: skip
        lines.append(f"{labels.id_of(one)} " + " ".join(f"{min(1.0, part):.6f}" for part in parts) + "\n")
    return "".join(lines)


class YoloWriter:
    """A ZIP: `labels/<stem>.txt` of each answered picture, `pictures.csv` of all, `classes.txt` and `data.yaml`."""

    def __init__(self, about: About) -> None:
        self._labels = about.labels
        self._zip = Zipped(about.at)
        self._pictures = [rows([PICTURES])]

    def page(self, entries: Sequence[Entry]) -> bytes:
        """The label files of these pictures."""
        for entry in entries:
            if entry.answered:
                self._zip.add(f"labels/{entry.stem}.txt", yolo(entry.result, self._labels))
        self._pictures.append(rows([picture_row(entry) for entry in entries]))
        return self._zip.taken()

    def end(self) -> bytes:
        """The labels, all of which are known now, and the table of pictures."""
        names = self._labels.names
        listed = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(names)) or "  {}\n"
        self._zip.add("data.yaml", f"path: .\ntrain: images\nval: images\nnc: {len(names)}\nnames:\n{listed}")
        self._zip.add("classes.txt", "".join(" ".join(name.split()) + "\n" for name in names))
        self._zip.add("pictures.csv", "".join(self._pictures))
        return self._zip.closed()

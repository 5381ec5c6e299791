"""A job as a data set in COCO's JSON form: boxes by corner and size, in pixels.

Source: https://cocodataset.org/#format-data. `annotations` is at the same time a list of results as `loadRes` of
pycocotools takes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.formats.coco_ids import category_id
from api.formats.dataset import About, Entry, unanswered
from shared.schema import Detection, rfc3339


class CocoWriter:
    """One JSON object: `info`, `licenses`, `annotations` (with `score`), `images`, `categories`, and `failed`.

    Every answered picture is in `images`, with objects or without; those that have no answer are in `failed` alone. Ids
    begin at 1: COCO's own evaluation takes an annotation 0 for none.
    """

    def __init__(self, about: About) -> None:
        self._about = about
        self._annotations = 0
        self._images: list[str] = []
        self._failed: list[str] = []
        self._begun = False

    def page(self, entries: Sequence[Entry]) -> bytes:
        """The annotations of these pictures; the pictures themselves come at the end."""
        parts = [] if self._begun else [self._head()]
        self._begun = True
        for entry in entries:
            if not entry.answered:
                self._failed.append(json.dumps(unanswered(entry)))
                continue
            self._images.append(json.dumps(_image(entry)))
            for one in entry.result.detections or ():
                parts.append((",\n" if self._annotations else "\n") + json.dumps(self._annotation(entry, one)))
        return "".join(parts).encode()

    def end(self) -> bytes:
        """The pictures, and the categories: all labels are known now."""
        labels = self._about.labels
        categories = [
            json.dumps({"id": category_id(number, labels.of_coco), "name": label, "supercategory": ""})
            for number, label in labels.known
        ]
        lists = {"images": self._images, "categories": categories, "failed": self._failed}
        rest = "".join(f',\n"{name}": [\n' + ",\n".join(rows) + "\n]" for name, rows in lists.items())
        return (("" if self._begun else self._head()) + "\n]" + rest + "\n}\n").encode()

    def _head(self) -> str:
        about = self._about
        made = rfc3339(about.at) or ""
        info = {
            "description": f"Spotter {about.job}, model {about.model}",
            "version": "1",
            "year": int(made[:4]),
            "date_created": made,
        }
        return f'{{\n"info": {json.dumps(info)},\n"licenses": [],\n"annotations": ['

    def _annotation(self, entry: Entry, found: Detection) -> dict[str, Any]:
        self._annotations += 1
        labels, box = self._about.labels, found.box
        return {
            "id": self._annotations,
            "image_id": entry.result.index + 1,
            "category_id": category_id(labels.id_of(found), labels.of_coco),
            "bbox": [box.x, box.y, box.width, box.height],
            "area": box.width * box.height,
            "iscrowd": 0,
            "segmentation": [],
            "score": found.confidence,
        }


def _image(entry: Entry) -> dict[str, Any]:
    size = entry.result.image
    assert size is not None
    image: dict[str, Any] = {
        "id": entry.result.index + 1,
        "file_name": entry.name,
        "width": size.width,
        "height": size.height,
    }
    return image | ({"coco_url": entry.address} if entry.address.startswith("http") else {})

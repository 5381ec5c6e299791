"""A picture's result -> a prediction of Label Studio: rectangles in percent of the picture.

Source: Label Studio's "raw JSON format" and the answers of its ML backends (`RectangleLabels`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.formats.dataset import About, Entry, unanswered
from shared.schema import PictureResult

FROM_NAME, TO_NAME = "label", "image"
"""Names of the tags in the labelling interface that its object detection template has."""


def labelstudio(
    picture: PictureResult, model_version: str, from_name: str = FROM_NAME, to_name: str = TO_NAME
) -> dict[str, Any]:
    """`{"model_version", "score", "result": [regions]}`; `score` is the mean confidence, 0 where there is no region.

    Args:
        model_version: what Label Studio groups predictions by.
        from_name: of the RectangleLabels tag.
        to_name: of the Image tag.
    """
    assert picture.image is not None
    width, height = picture.image.width, picture.image.height
    found = picture.detections or ()
    return {
        "model_version": model_version,
        "score": sum(one.confidence for one in found) / len(found) if found else 0.0,
        "result": [
            {
                "id": f"{picture.index}-{k}",
                "from_name": from_name,
                "to_name": to_name,
                "type": "rectanglelabels",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "x": _percent(one.box.x, width),
                    "y": _percent(one.box.y, height),
                    "width": _percent(one.box.width, width),
                    "height": _percent(one.box.height, height),
                    "rotation": 0,
                    "rectanglelabels": [one.label],
                },
                "score": one.confidence,
            }
            for k, one in enumerate(found)
        ],
    }


def _percent(pixels: float, whole: int) -> float:
    """Label Studio refuses what rounding put past 100."""
    return min(100.0, 100 * pixels / whole)


def task(entry: Entry, about: About) -> dict[str, Any]:
    """A picture as a task to import. Without an answer it has no `predictions` at all, and the reason in `meta`."""
    known = {"job": about.job, "index": entry.result.index, "id": entry.id, "file_name": entry.name}
    shown: dict[str, Any] = {"data": {TO_NAME: entry.address}, "meta": known}
    if not entry.answered:
        return shown | {"meta": known | unanswered(entry)}
    return shown | {"predictions": [labelstudio(entry.result, about.version(entry.result))]}


class LabelStudioWriter:
    """A JSON list of tasks, one a picture."""

    def __init__(self, about: About) -> None:
        self._about = about
        self._begun = False

    def page(self, entries: Sequence[Entry]) -> bytes:
        """The tasks of these pictures."""
        texts = [json.dumps(task(entry, self._about)) for entry in entries]
        start = (",\n" if self._begun else "[\n") if texts else ""
        self._begun = self._begun or bool(texts)
        return (start + ",\n".join(texts)).encode()

    def end(self) -> bytes:
        """The end of the list."""
        return b"\n]\n" if self._begun else b"[]\n"

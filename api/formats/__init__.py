"""Finished picture results -> the forms that other systems read, one file a form. Knows no HTTP, no store, no worker.

A form has a JSON value for each picture, or a text for each, or a data set for all of a job, or several of these. The
converters take a picture that `succeeded`; what one without an answer looks like, `dataset.unanswered` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from api.formats import voc, zipped
from api.formats.coco import CocoWriter
from api.formats.coco_ids import SPELLINGS
from api.formats.dataset import About, Entry, Writer, unanswered
from api.formats.deepstack import deepstack
from api.formats.labelstudio import LabelStudioWriter, task
from api.formats.roboflow import roboflow
from api.formats.tables import CsvWriter
from api.formats.ultralytics import response, ultralytics
from api.formats.yolo import YoloWriter, yolo

FormatName = Literal["spotter", "roboflow", "deepstack", "ultralytics", "coco", "yolo", "voc", "labelstudio", "csv"]
"""What `GET /jobs/{id}?format=` knows."""
LineFormat = Literal["spotter", "roboflow", "deepstack", "ultralytics", "labelstudio"]
"""Those with a JSON value for each picture: what `/results` knows."""
ExportFormat = Literal["coco", "yolo", "voc", "labelstudio", "csv"]
"""Those with a data set: what `/export` knows."""

JSON, CSV, TEXT = "application/json", "text/csv; charset=utf-8; header=present", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Text:
    """A picture as a text of its own."""

    media_type: str
    write: Callable[[Entry, About], str]


@dataclass(frozen=True)
class Export:
    """All pictures of a job as one file."""

    media_type: str
    suffix: str
    writer: Callable[[About], Writer]


@dataclass(frozen=True)
class Format:
    """One form.

    Attributes:
        picture: the JSON value of an answered picture.
        placed: whether that value says itself which picture it is, and of one without an answer what became of it.
        around: what is put around the values of a job, where its readers expect something else than a list.
        text: an answered picture as text.
        export: the data set.
    """

    picture: Callable[[Entry, About], dict[str, Any]] | None = None
    placed: bool = False
    around: Callable[[list[dict[str, Any]], About], dict[str, Any]] | None = None
    text: Text | None = None
    export: Export | None = None

    def among(self, entry: Entry, about: About) -> dict[str, Any]:
        """The JSON value of a picture among others: with its `index` and `id`, or why it has no answer."""
        assert self.picture is not None
        if self.placed:
            return self.picture(entry, about)
        if not entry.answered:
            return unanswered(entry)
        return {"index": entry.result.index, "id": entry.id, **self.picture(entry, about)}


FORMATS: Mapping[FormatName, Format] = {
    "spotter": Format(lambda entry, _: entry.result.model_dump(mode="json"), placed=True),
    "roboflow": Format(lambda entry, about: roboflow(entry.result, about.job)),
    "deepstack": Format(lambda entry, about: deepstack(entry.result, SPELLINGS if about.labels.of_coco else None)),
    "ultralytics": Format(lambda entry, _: ultralytics(entry.result), around=response),
    "coco": Format(export=Export(JSON, "coco.json", CocoWriter)),
    "yolo": Format(
        text=Text(TEXT, lambda entry, about: yolo(entry.result, about.labels)),
        export=Export(zipped.MEDIA_TYPE, "yolo.zip", YoloWriter),
    ),
    "voc": Format(
        text=Text(voc.MEDIA_TYPE, lambda entry, _: voc.voc(entry)),
        export=Export(zipped.MEDIA_TYPE, "voc.zip", voc.VocWriter),
    ),
    "labelstudio": Format(task, placed=True, export=Export(JSON, "labelstudio.json", LabelStudioWriter)),
    "csv": Format(export=Export(CSV, "csv", CsvWriter)),
}
"""By the name in `?format=`."""

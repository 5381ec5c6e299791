"""What every form of a data set is made of: pictures with their names, and a writer that takes them page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from api.formats.labels import Labels
from shared.schema import PictureResult


@dataclass(frozen=True)
class Entry:
    """One picture of a job.

    Attributes:
        id: the client's name for it.
        name: its file name in the data set.
        stem: the name without the suffix of a picture; unique too.
        address: where it can be had: a URL, `s3://`, or its place in this service.
    """

    result: PictureResult
    id: str | None
    name: str
    stem: str
    address: str

    @property
    def answered(self) -> bool:
        """Whether it has detections, perhaps none. If not, no form may show it as a picture without objects."""
        return self.result.status == "succeeded" and self.result.image is not None


@dataclass(frozen=True)
class About:
    """The job of a data set. `model` is its name; `at` the epoch ms of the job's end."""

    job: str
    model: str
    at: int
    labels: Labels = field(default_factory=Labels)

    def version(self, picture: PictureResult) -> str:
        """`name@version` of what answered this picture."""
        return f"{self.model}@{picture.version}" if picture.version else self.model


class Writer(Protocol):
    """Makes a data set out of pages of pictures, by index. Holds a few hundred bytes a picture, not its detections."""

    def page(self, entries: Sequence[Entry]) -> bytes:
        """What can be sent by now; nothing perhaps."""

    def end(self) -> bytes:
        """The rest, after the last page."""


def unanswered(entry: Entry) -> dict[str, Any]:
    """What is said of a picture without an answer, in every form."""
    error = entry.result.error
    return {
        "index": entry.result.index,
        "id": entry.id,
        "file_name": entry.name,
        "status": entry.result.status,
        "error": error.model_dump() if error else None,
    }

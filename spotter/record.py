"""Recorded results -> what was found in which picture; and a model held against them. Prints nothing.

A record is what `spotter detect --json` prints (one picture a line), the lines of `GET /jobs/{id}/results`, or a job's
JSON. Only the first of these names its pictures; for the others they are given, in the order of the job.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotter.agreement import Agreement, compare, search_from
from spotter.errors import StackError
from spotter.job import Picture
from spotter.local import Local, Outcome

MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Tolerances:
    """How far a result may be from its record.

    Attributes:
        least_matched: part of the recorded detections that must be found again, 0..1.
        most_drift: mean absolute difference of confidence, 0..1.
    """

    least_matched: float = 0.95
    most_drift: float = 0.02

    def hold(self, found: Agreement) -> bool:
        """Whether the result is within them. Unexpected detections count like missing ones."""
        most_extra = (1 - self.least_matched) * found.detections
        return (
            found.matched >= self.least_matched
            and found.confidence_drift <= self.most_drift
            and found.extra <= most_extra
        )


def read(path: Path, pictures: Sequence[str] = ()) -> list[Outcome]:
    """The recorded outcomes in their order, each with the picture that it belongs to.

    Args:
        pictures: paths instead of the recorded names, in order; needed where the record has none.

    Raises:
        OSError: the file cannot be read.
        StackError: it is no record, has no detections, or its pictures are not known.
    """
    if path.stat().st_size > MOST_BYTES:
        raise StackError(f"{path} has more than {MOST_BYTES:,} bytes: it is no record of a few pictures.")
    try:
        entries = _entries(path.read_text())
        outcomes = [Outcome(str(entry.get("picture", "")), Picture.from_json(entry)) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StackError(f"{path} is no record: it must be what `spotter detect --json` prints, or a job.") from None
    if not any(one.picture.detections for one in outcomes):
        raise StackError(f"{path} has no detections, so nothing can be held against it.")
    if pictures:
        if len(pictures) != len(outcomes):
            raise StackError(f"{path} has {len(outcomes)} pictures, not {len(pictures)}.")
        return [Outcome(name, one.picture) for name, one in zip(pictures, outcomes, strict=True)]
    if not all(one.name for one in outcomes):
        raise StackError(f"{path} does not say which pictures it is about: name them, in the order of the job.")
    return [Outcome(_found(one.name, path.parent), one.picture) for one in outcomes]


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a record: one picture a line.

    Raises:
        OSError: the file cannot be written.
        StackError: a picture failed, or nothing was found in any, so that the record would hold nothing against anyone.
    """
    for one in outcomes:
        if one.picture.status != "succeeded":
            raise StackError(f"{one.name}: {one.picture.error.detail if one.picture.error else one.picture.status}")
    if not any(one.picture.detections for one in outcomes):
        raise StackError("The model finds nothing in these pictures: choose pictures of what it knows.")
    path.write_text("".join(f"{one.line()}\n" for one in outcomes))


def default_threshold(models_dir: Path, reference: str) -> float:
    """The threshold of `name`, `name@version` or `name@alias`, 0..1.

    Raises:
        StackError: there is no such model, or it is damaged.
    """
    from zoo import shelf
    from zoo.errors import ZooError

    try:
        return shelf.look(models_dir, reference).defaults.threshold
    except ZooError as error:
        raise StackError(error.detail) from None


def check(local: Local, recorded: Sequence[Outcome], threshold: float, precision: str | None = None) -> Agreement:
    """Run the model on the recorded pictures and compare.

    Args:
        threshold: confidence from which on the record was made, 0..1.

    Raises:
        StackError: the model cannot run, or a picture failed on one side or is another one.
    """
    expected = [one.picture for one in recorded]
    names = [one.name for one in recorded]
    found = local.detect(names, threshold=search_from(expected, threshold), precision=precision)
    return compare(expected, [one.picture for one in found], threshold)


def _entries(text: str) -> list[dict[str, Any]]:
    """The pictures of a job, of a list, or of lines."""
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(whole, list):
        return whole
    return list(whole["results"]) if "results" in whole else [whole]


def _found(name: str, folder: Path) -> str:
    """A recorded path as it is, or beside the record."""
    return name if Path(name).is_file() or not (folder / name).is_file() else str(folder / name)

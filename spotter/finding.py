"""Many pictures in, one finding for each out, over as few jobs as the service's limits allow. For the commands.

Knows the SDK; prints nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spotter.client import Source, Spotter, is_address
from spotter.job import Job, Picture

MOST_PICTURES = 100  # a job of more does not show its results inline
MOST_BYTES = 14 * 1024 * 1024  # a third more as base64, and still below the service's 20 MiB for one body


@dataclass(frozen=True)
class Finding:
    """One picture's outcome under the name that the user gave it."""

    name: str
    job: Job
    picture: Picture

    def line(self) -> str:
        """The finding as one JSON document without a line's end; `spotter.record` reads it."""
        return json.dumps({"picture": self.name, "job": self.job.id, **self.picture.raw})


def batches(names: Sequence[str]) -> Iterator[list[str]]:
    """The names in order, in groups that fit into one job; a file larger than `MOST_BYTES` is alone.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    group: list[str] = []
    group_bytes = 0
    for name in names:
        size = 0 if is_address(name) else Path(name).stat().st_size
        if group and (len(group) == MOST_PICTURES or group_bytes + size > MOST_BYTES):
            yield group
            group, group_bytes = [], 0
        group.append(name)
        group_bytes += size
    if group:
        yield group


def find(
    service: Spotter, names: Sequence[str], timeout_s: float, model: str | None, threshold: float | None, draw: bool
) -> Iterator[Finding]:
    """Detect in each picture: paths, http(s):// or s3:// addresses. One job after the other.

    Raises:
        OSError: a file cannot be read. SpotterClientError: the service refuses, is away, or takes too long.
    """
    for group in list(batches(names)):  # a missing file shows before anything is posted
        sources: list[Source] = list(group)
        options = {"model": model, "threshold": threshold, "draw": True if draw else None}
        job = service.detect(*sources, timeout_s=timeout_s, **options)
        for picture in job.pictures:
            yield Finding(group[picture.index], job, picture)


def drawn_path(folder: Path, name: str, taken: set[Path]) -> Path:
    """`dog.jpg` -> `folder/dog-detections.jpg`; with a number where this run has used that name already."""
    last = re.split(r"[/\\?#]", re.sub(r"[?#].*", "", name).rstrip("/"))[-1]
    stem = re.sub(r"[^\w.-]", "_", last.rsplit(".", 1)[0]) or "picture"
    path, number = folder / f"{stem}-detections.jpg", 2
    while path in taken:
        path, number = folder / f"{stem}-detections-{number}.jpg", number + 1
    taken.add(path)
    return path

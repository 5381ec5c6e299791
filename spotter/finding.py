"""Many pictures in, one finding for each out, over as few jobs as the service's limits allow. For the commands.

Knows the SDK; prints nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotter.client import LONGEST_WAIT_S, Spotter
from spotter.errors import StackError
from spotter.job import Job, Picture
from spotter.sending import Source, is_address, is_archive

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


def is_list(name: str) -> bool:
    """Whether it is the address of a list of pictures: a manifest."""
    return name.lower().startswith("s3://") and name.lower().endswith(".jsonl")


def batches(names: Sequence[str]) -> Iterator[list[str]]:
    """The names in order, in groups that fit into one job; a zip, a list and a file larger than `MOST_BYTES` are alone.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    group: list[str] = []
    group_bytes = 0
    for name in names:
        size = 0 if is_address(name) else Path(name).stat().st_size
        if is_archive(name) or is_list(name):
            size = MOST_BYTES + 1
        if group and (len(group) == MOST_PICTURES or group_bytes + size > MOST_BYTES):
            yield group
            group, group_bytes = [], 0
        group.append(name)
        group_bytes += size
    if group:
        yield group


def one_job(names: Sequence[str]) -> list[str]:
    """All names as one group.

    Raises:
        StackError: they are too many or too large for one job.
    """
    groups = list(batches(names))
    if len(groups) > 1:
        raise StackError(f"{len(names)} pictures do not fit into one job this way: send a zip of them.")
    return groups[0]


def submit(service: Spotter, group: Sequence[str], wait_s: float = 0, **request: Any) -> Job:  # noqa: ANN401
    """Post one job of a group that `batches` made. Raises as `Spotter.submit`."""
    if is_list(group[0]):
        return service.submit(manifest=group[0], wait_s=wait_s, **request)
    sources: list[Source] = list(group)
    return service.submit(*sources, wait_s=wait_s, **request)


def find(service: Spotter, names: Sequence[str], timeout_s: float, **request: Any) -> Iterator[Finding]:  # noqa: ANN401
    """Detect in each picture: paths of pictures and zips, http(s):// or s3:// addresses. One job after the other.

    Raises:
        OSError: a file cannot be read. SpotterClientError: the service refuses, is away, or takes too long.
    """
    for group in list(batches(names)):  # a missing file shows before anything is posted
        job = finished(service, group, timeout_s, **request)
        for picture in job.pictures or service.results(job.id):
            yield Finding(_name(group, picture), job, picture)


def finished(service: Spotter, group: Sequence[str], timeout_s: float, **request: Any) -> Job:  # noqa: ANN401
    """As `submit`, and wait for the end."""
    began = time.monotonic()
    job = submit(service, group, min(LONGEST_WAIT_S, timeout_s), **request)
    return job if job.done else service.wait(job.id, max(0.0, timeout_s - (time.monotonic() - began)))


def _name(group: Sequence[str], picture: Picture) -> str:
    if is_archive(group[0]) or is_list(group[0]):
        return picture.id or f"{group[0]}, {picture.index}"
    return group[picture.index]


def drawn_path(folder: Path, name: str, taken: set[Path]) -> Path:
    """`dog.jpg` -> `folder/dog-detections.jpg`; with a number where this run has used that name already."""
    last = re.split(r"[/\\?#]", re.sub(r"[?#].*", "", name).rstrip("/"))[-1]
    stem = re.sub(r"[^\w.-]", "_", last.rsplit(".", 1)[0]) or "picture"
    path, number = folder / f"{stem}-detections.jpg", 2
    while path in taken:
        path, number = folder / f"{stem}-detections-{number}.jpg", number + 1
    taken.add(path)
    return path

"""What a job looks like to a user of the SDK: the service's JSON in, frozen dataclasses out.

Boxes are pixels of the upright original picture. Times are `datetime` in UTC. Fields that this version does not know
are not lost: every view keeps its JSON in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
"""The states in which a job stays."""


@dataclass(frozen=True)
class Box:
    """Top-left corner and size, in pixels of the upright original picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Detection:
    """One found object; `confidence` is 0..1."""

    label: str
    class_id: int
    confidence: float
    box: Box

    @staticmethod
    def from_json(data: Json) -> Detection:
        """Read one entry of `detections`."""
        box = data["box"]
        return Detection(
            data["label"],
            data["class_id"],
            data["confidence"],
            Box(box["x"], box["y"], box["width"], box["height"]),
        )


@dataclass(frozen=True)
class Failure:
    """Why a picture has no detections."""

    code: str
    title: str
    detail: str


@dataclass(frozen=True)
class Picture:
    """One picture's outcome.

    Attributes:
        index: place in the job, from 0.
        id: the name that the client gave it, or None.
        size: (width, height) in pixels of the upright picture, once it was decoded.
        detections: strongest first; empty where nothing was found or the picture did not succeed.
        error: set when `status` is `failed`.
        timings: milliseconds per stage, `batch_size`, `provider`, `precision`.
    """

    index: int
    id: str | None
    status: str
    size: tuple[int, int] | None
    detections: tuple[Detection, ...]
    error: Failure | None
    timings: Mapping[str, Any]
    raw: Json = field(repr=False, compare=False)

    @staticmethod
    def from_json(data: Json) -> Picture:
        """Read one entry of `results`."""
        image, error = data.get("image"), data.get("error")
        return Picture(
            index=data["index"],
            id=data.get("id"),
            status=data["status"],
            size=(image["width"], image["height"]) if image else None,
            detections=tuple(Detection.from_json(one) for one in data.get("detections") or ()),
            error=Failure(error["code"], error["title"], error["detail"]) if error else None,
            timings=data.get("timings") or {},
            raw=data,
        )


@dataclass(frozen=True)
class Counts:
    """Pictures of a job by state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int


@dataclass(frozen=True)
class Job:
    """One job as the service showed it at one moment.

    Attributes:
        model: `name` or `name@version`.
        pictures: the outcomes in order; empty when the job is too large to show them inline.
        queue_position: pictures before this job, or None.
    """

    id: str
    status: str
    model: str
    counts: Counts
    pictures: tuple[Picture, ...]
    created_at: datetime
    finished_at: datetime | None
    queue_position: int | None
    metadata: Mapping[str, str]
    raw: Json = field(repr=False, compare=False)

    @property
    def done(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.status in TERMINAL

    @staticmethod
    def from_json(data: Json) -> Job:
        """Read the body of `GET /jobs/{id}`."""
        model, counts, finished = data["model"], data["counts"], data.get("finished_at")
        return Job(
            id=data["id"],
            status=data["status"],
            model=f"{model['name']}@{model['version']}" if model.get("version") else model["name"],
            counts=Counts(**{name: counts[name] for name in ("total", "queued", "running", "succeeded", "failed")}),
            pictures=tuple(Picture.from_json(one) for one in data.get("results") or ()),
            created_at=datetime.fromisoformat(data["created_at"]),
            finished_at=datetime.fromisoformat(finished) if finished else None,
            queue_position=data.get("queue_position"),
            metadata=data.get("metadata") or {},
            raw=data,
        )

"""What workers say of themselves and of the models that they serve. Workers announce it, the API reads it.

A *reference* is `name` (whichever version is the default) or `name@version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from shared.manifest import NAME, VERSION
from shared.schema import Strict

REFERENCE = re.compile(f"{NAME.pattern}(@{VERSION.pattern})?")


class Heard(Strict, extra="ignore"):
    """What one process says and another reads, perhaps one of an earlier release, while an upgrade is rolled out: it
    passes over what it does not know.
    """


class LoadedVersion(Heard):
    """One loaded and warmed version of a model, in one worker, and how it runs it there.

    Attributes:
        max_batch: pictures in one model run, at most.
        lanes: model runs side by side.
        threads: of a run that has the CPU for itself; lanes share them.
    """

    version: str
    provider: str
    precision: str
    max_batch: int
    lanes: int = 1
    threads: int = 1


class Refusal(Heard):
    """What a worker could not load; it is tried again when its files change.

    Attributes:
        version: None where it is the aliases that cannot be read.
        at_ms: epoch ms.
    """

    version: str | None
    reason: str
    at_ms: int


class ServedModel(Heard):
    """One model of one worker.

    Attributes:
        default: the version that answers where none is asked for; None while none could be loaded.
        aliases: version by alias, of the loaded versions only: an alias moves when its new version is ready.
        loaded: oldest version first; without those that are about to go.
    """

    name: str
    default: str | None
    aliases: dict[str, str] = Field(default_factory=dict)
    loaded: tuple[LoadedVersion, ...]
    refused: tuple[Refusal, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """Of the loaded versions: `name@version` each."""
        return tuple(f"{self.name}@{one.version}" for one in self.loaded)


class Description(Heard):
    """What a version is, whoever serves it. `frame` is width and height in pixels."""

    name: str
    version: str
    sha256: str
    family: str
    labels: tuple[str, ...]
    frame: tuple[int, int]

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class WorkerReport(Heard):
    """What a live worker announces every few seconds: itself, its models, and how it is getting on.

    Attributes:
        concurrency: pictures that it prepares side by side; 0: not said.
        followed: edition of the aliases set over HTTP (`assignments.py`) that its models are in step with.
    """

    worker: str
    host: str
    pid: int
    started_ms: int
    progress_ms: int
    busy: int
    concurrency: int = 0
    followed: int = 0
    models: tuple[ServedModel, ...]
    stages: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Fleet:
    """All live workers, and for every model the last word of whichever worker spoke of it, alive or not."""

    live: tuple[WorkerReport, ...]
    heard: Mapping[str, ServedModel]

"""A version on disk -> a loaded, warmed model with its batcher. Knows how, not when."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from shared.manifest import Manifest
from shared.reports import Description, LoadedVersion
from worker.batcher import Batcher
from worker.engine import Engine
from worker.plan import Asked

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded, warmed model with its batcher, which holds the engine.

    Attributes:
        lanes: runs side by side.
        threads: of all of them together, on a CPU.
    """

    manifest: Manifest
    batcher: Batcher
    provider: str
    precision: str
    max_batch: int
    lanes: int = 1
    threads: int = 1

    @property
    def loaded(self) -> LoadedVersion:
        """As it is announced."""
        return LoadedVersion(
            version=self.manifest.version,
            provider=self.provider,
            precision=self.precision,
            max_batch=self.max_batch,
            lanes=self.lanes,
            threads=self.threads,
        )

    @cached_property
    def description(self) -> Description:
        """What it is, whoever serves it."""
        described = self.manifest
        return Description(
            name=described.name,
            version=described.version,
            sha256=described.sha256,
            family=described.family,
            labels=described.labels,
            frame=(described.frame.width, described.frame.height),
        )


class Load(Protocol):
    """`Loader`, or a test's fake."""

    def __call__(self, described: Manifest, path: Path, /) -> Served:
        """Raises StartupError: the files are not what they should be, or cannot run here."""
        ...


@dataclass(frozen=True)
class Loader:
    """How this worker runs every model; the meaning of the fields is that of the settings.

    Attributes:
        capacity: frames that may wait for one model.
    """

    provider: str
    precision: str
    asked: Asked
    capacity: int

    def __call__(self, described: Manifest, path: Path, /) -> Served:
        """Check, load and warm one version. Raises StartupError."""
        start = time.monotonic()
        engine = Engine.load(path, described, self.provider, self.precision, self.asked)
        how = engine.plan
        engine.warm_up(how.max_batch)
        logger.info(
            "model ready",
            extra={
                "model": described.name,
                "version": described.version,
                "provider": engine.provider,
                "precision": engine.precision,
                "max_batch": how.max_batch,
                "lanes": how.lanes,
                "threads": how.threads,
                "seconds": round(time.monotonic() - start, 2),
            },
        )
        return Served(
            described, batcher(engine, self.capacity), engine.provider, engine.precision,
            how.max_batch, how.lanes, how.threads,
        )  # fmt: skip


def batcher(engine: Engine, capacity: int) -> Batcher:
    """In front of a loaded model, as its plan says. `capacity`: frames that may wait."""
    how = engine.plan
    alone = engine.run if how.divided else None
    return Batcher(engine.run_in_lane, how.max_batch, capacity, how.lanes, alone, divided=how.divided)

"""A repository of manifests without real models, and a `Load` that builds what the worker serves without a device."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from shared.errors import StartupError
from shared.manifest import Frame, Manifest, Origin
from worker.batcher import Batcher, Frames
from worker.loading import Served
from worker.output import Output


def described(name: str = "m", version: str = "1", sha256: str = "a" * 64) -> Manifest:
    origin = Origin(source="test", licence="none")
    frame = Frame(width=32, height=32)
    return Manifest(name=name, version=version, sha256=sha256, labels=("dog", "cat"), frame=frame, origin=origin)


def put(models_dir: Path, name: str = "m", version: str = "1", sha256: str = "a" * 64) -> Path:
    """A version appears as `zoo.repository` makes it appear: whole, by a rename."""
    unfinished, folder = models_dir / f".new-{name}", models_dir / name / version
    unfinished.mkdir(parents=True)
    (unfinished / "model.onnx").write_text(f"{name} {version} {sha256}")
    (unfinished / "model.json").write_text(described(name, version, sha256).model_dump_json())
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    return folder


def one_dog(frames: Frames, /) -> Output:
    """A device that finds one dog in every frame."""
    n = len(frames)
    boxes = np.tile(np.array([0.25, 0.25, 0.75, 0.5], np.float32), (n, 1, 1))
    return Output(boxes, np.tile(np.array([0.9, 0.1], np.float32), (n, 1, 1)), None)


class FakeLoad:
    """Loads at once; `broken` holds the references that it refuses, or the error to raise for one."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.batchers: list[Batcher] = []
        self.broken: dict[str, Exception] = {}
        self.before: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def __call__(self, manifest: Manifest, path: Path, /) -> Served:
        reference = f"{manifest.name}@{manifest.version}"
        self.tried.append(reference)
        self.before()
        if reference in self.broken:
            raise self.broken[reference]
        batcher = Batcher(one_dog, 8, capacity=64)
        with self._lock:
            self.batchers.append(batcher)
        return Served(manifest, batcher, "cpu", "fp32", 8)

    def refuse(self, reference: str) -> None:
        self.broken[reference] = StartupError(f"{reference} is broken.")

    @property
    def running(self) -> int:
        """Batchers that were not closed."""
        return sum(batcher.alive for batcher in self.batchers)


class OneModel:
    """`worker.models.Models` with one model that never changes."""

    def __init__(self, served: Served) -> None:
        self.served = served

    @contextmanager
    def using(self, reference: str) -> Iterator[Served | None]:
        known = (self.served.manifest.name, self.served.description.reference)
        yield self.served if reference in known else None

"""The official yolov3-tiny weights, and what the worker makes of the sample pictures with them.

The weights are no part of the repository. They are fetched once, as `spotter models pull` does it, and kept under
`models/.reference/`; where they cannot be had, the tests here are skipped.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest

from shared.errors import SpotterError
from shared.manifest import Frame, Manifest, Origin
from shared.schema import Options
from tests.reference.agreement import PICTURES, Detect, Found
from worker.engine import Engine
from worker.frame import fit_to
from worker.image import Decoder
from worker.select import select
from zoo import catalog, darknet, pull
from zoo.errors import ZooError

CACHE = Path(__file__).parents[2] / "models" / ".reference"


@pytest.fixture(scope="session")
def weights() -> Path:
    """The weights file, its sha256 checked."""
    entry = catalog.load()["yolov3-tiny"]
    kept = CACHE / entry.weights.sha256
    if kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == entry.weights.sha256:
        return kept
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        brought, _ = pull.bring_weights(entry, CACHE)
        for left in set(CACHE.iterdir()) - {brought}:
            left.unlink()  # the archive that held it
        return brought
    except (ZooError, SpotterError, OSError) as error:
        pytest.skip(f"the official yolov3-tiny weights cannot be had: {error}")


@pytest.fixture(scope="session")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cfg as a file, which is what both references read."""
    path = tmp_path_factory.mktemp("cfg") / "yolov3-tiny.cfg"
    path.write_text(catalog.load()["yolov3-tiny"].cfg)
    return path


def _written(model: onnx.ModelProto, path: Path, frame: Frame, **fields: str) -> tuple[Path, Manifest]:
    onnx.save(model, path)
    entry = catalog.load()["yolov3-tiny"]
    manifest = Manifest(
        name="yolov3-tiny",
        version="1",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        labels=entry.class_names(),
        frame=frame,
        origin=Origin(source="reference", licence=entry.licence),
    )
    return path, manifest.model_validate(manifest.model_dump() | fields)


@pytest.fixture(scope="session")
def stretched(weights: Path, cfg: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """The model as the catalog installs it: stretch, linear."""
    converted = darknet.convert(cfg.read_text(), weights)
    return _written(converted.model, tmp_path_factory.mktemp("stretch") / "model.onnx", converted.frame)


@pytest.fixture(scope="session")
def letterboxed(weights: Path, cfg: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """The same network for darknet's own frames: letterbox, corner-aligned, float32 (see `image.fit`)."""
    converted = darknet.convert(cfg.read_text(), weights, "darknet")
    path = tmp_path_factory.mktemp("letterbox") / "model.onnx"
    return _written(converted.model, path, converted.frame, resize="letterbox", interpolation="darknet")


@pytest.fixture(scope="session")
def detect() -> Detect:
    """A sample picture's name and an engine -> what the worker finds above 0.24, by the worker's own steps."""

    def run(name: str, engine: Engine) -> list[Found]:
        manifest = engine.manifest
        image = Decoder(50_000_000, 1 << 30).decode((PICTURES / name).read_bytes())
        frame, placement = fit_to(manifest, image)
        output = engine.run(frame[None]).picture(0)
        return [Found.of(one) for one in select(output, Options(threshold=0.24, iou=0.45), manifest, placement)]

    return run

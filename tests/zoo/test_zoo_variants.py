"""A variant in the repository: a new version that shares what did not change, and reads as `shared.manifest` says."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from shared import manifest
from tests.zoo.zoo_convolutions import Layers, frames, installed
from zoo.errors import ContractError, PrecisionError, RepositoryError
from zoo.precision.make import MAKERS, make
from zoo.repository import install_variant


@dataclass(frozen=True)
class Measured:
    pictures: int = 6
    detections: int = 27
    matched: float = 1.0
    confidence_drift: float = 0.01
    extra: int = 0


@pytest.fixture
def models(tmp_path: Path) -> Path:
    installed(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def graph(models: Path, tmp_path: Path) -> Path:
    make("fp16", models / "light/1/model.onnx", tmp_path / "half.onnx")
    return tmp_path / "half.onnx"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_are_kept_and_the_model_takes_its_room_once(models: Path, graph: Path) -> None:
    base, _ = manifest.read(models, "light")
    made = install_variant(models, base, "fp16", graph, Measured())
    assert (base.version, made.version) == ("1", "2")
    assert manifest.read(models, "light")[0] == made
    folder = models / "light/2"
    assert sorted(path.name for path in folder.iterdir()) == ["model.fp16.onnx", "model.json", "model.onnx"]
    assert os.path.samefile(folder / "model.onnx", models / "light/1/model.onnx")
    assert sha256(folder / "model.fp16.onnx") == made.variants["fp16"].sha256
    assert made.variants["fp16"].agreement.model_dump() == {
        "pictures": 6, "detections": 27, "matched": 1.0, "confidence_drift": 0.01,
    }  # fmt: skip
    assert manifest.read(models, "light", "1")[0] == base
    assert made.model_dump(exclude={"version", "variants"}) == base.model_dump(exclude={"version", "variants"})


def test_a_second_variant_keeps_the_first(models: Path, graph: Path) -> None:
    base, _ = manifest.read(models, "light")
    first = install_variant(models, base, "fp16", graph, Measured())
    second = install_variant(models, first, "bf16", None, Measured(detections=3))
    assert set(second.variants) == {"fp16", "bf16"}
    assert second.variants["bf16"].sha256 == base.sha256
    folder = models / "light/3"
    assert sorted(path.name for path in folder.iterdir()) == ["model.fp16.onnx", "model.json", "model.onnx"]
    assert os.path.samefile(folder / "model.fp16.onnx", models / "light/2/model.fp16.onnx")


def test_the_same_again_is_the_version_that_is_there(models: Path, graph: Path) -> None:
    base, _ = manifest.read(models, "light")
    first = install_variant(models, base, "fp16", graph, Measured())
    assert install_variant(models, base, "fp16", graph, Measured()) == first
    assert install_variant(models, first, "fp16", graph, Measured()) == first
    assert manifest.versions(models, "light") == ["1", "2"]


@pytest.mark.parametrize(
    ("measured", "preferred"),
    [
        (Measured(), {"openvino": "int8"}),
        (Measured(matched=0.94), {}),
        (Measured(confidence_drift=0.021), {}),
        (Measured(detections=0), {}),
    ],
)
def test_a_provider_prefers_only_what_agrees(
    measured: Measured, preferred: dict[str, str], models: Path, tmp_path: Path
) -> None:
    base, path = manifest.read(models, "light")
    np.save(tmp_path / "frames.npy", frames(0.1, 0.3, 0.5, 0.7, 0.9))
    make("int8", path, tmp_path / "int8.onnx", tmp_path / "frames.npy")
    first = install_variant(models, base, "int8", tmp_path / "int8.onnx", Measured(), preferred_on="openvino")
    assert first.precision == {"openvino": "int8"}
    again = install_variant(models, first, "int8", tmp_path / "int8.onnx", measured, preferred_on="openvino")
    assert again.precision == preferred


def test_a_graph_of_another_signature_is_refused(models: Path, tmp_path: Path) -> None:
    base, _ = manifest.read(models, "light")
    other = Layers().model()
    other.graph.input[0].name = "pixels"
    other.graph.node[0].input[0] = "pixels"
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ContractError, match="as inputs and outputs"):
        install_variant(models, base, "fp16", tmp_path / "other.onnx", Measured())
    assert [path.name for path in (models / "light").iterdir()] == ["1"]


def test_a_version_that_is_gone_is_refused(models: Path, graph: Path) -> None:
    base, path = manifest.read(models, "light")
    path.unlink()
    with pytest.raises(RepositoryError, match="cannot hold model light"):
        install_variant(models, base, "fp16", graph, Measured())
    assert not list((models / "light").glob("2*"))


def test_a_file_system_without_links_gets_copies(models: Path, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    base, _ = manifest.read(models, "light")
    install_variant(models, base, "fp16", graph, Measured())
    shutil.rmtree(models / "light/1")
    assert sha256(models / "light/2/model.onnx") == base.sha256


def test_int8_needs_frames(models: Path, tmp_path: Path) -> None:
    assert set(MAKERS) == {"fp16", "int8"}
    with pytest.raises(PrecisionError, match="pictures to calibrate"):
        make("int8", models / "light/1/model.onnx", tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()

"""Models that somebody put into the repository with bad intent: refused at load, by the runtime where it decides."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from shared import manifest as on_disk
from shared.errors import StartupError
from tests.worker.tiny_onnx import brightness, manifest
from worker.engine import Engine
from worker.providers import PROVIDERS

HERE = [name for name, provider in PROVIDERS.items() if provider.available()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with `brightness`, version 1."""
    made = tmp_path / "models/brightness/1"
    made.mkdir(parents=True)
    brightness(made / "model.onnx")
    describe(made)
    return made


def describe(folder: Path, **fields: object) -> None:
    (folder / "model.json").write_text(manifest(folder / "model.onnx", **fields).model_dump_json())  # type: ignore[arg-type]


def load(folder: Path, provider: str = "cpu") -> Engine:
    described, path = on_disk.read(folder.parent.parent, "brightness", "1")
    return Engine.load(path, described, provider, "fp32")


def test_as_installed_it_loads(folder: Path) -> None:
    assert load(folder).provider == "cpu"


def test_a_changed_file_is_refused(folder: Path) -> None:
    with (folder / "model.onnx").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(StartupError, match="is not the file that its model"):
        load(folder)


@pytest.mark.parametrize("provider", HERE)
@pytest.mark.parametrize("location", ["../../secret", "{outside}/secret"])
def test_weights_outside_the_folder_are_not_read(folder: Path, provider: str, location: str) -> None:
    """Data of another file as a constant would come out as confidences."""
    outside = folder.parent.parent
    (outside / "secret").write_bytes(np.float32(1 / 255).tobytes())
    model = onnx.load(folder / "model.onnx")
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "scale")
    scale.ClearField("raw_data")
    scale.data_location = TensorProto.EXTERNAL
    scale.external_data.add(key="location", value=location.format(outside=outside))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    describe(folder)
    with pytest.raises(StartupError, match="cannot be loaded"):
        load(folder, provider)


@pytest.mark.parametrize("provider", HERE)
def test_operators_of_other_libraries_are_refused(folder: Path, provider: str) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].domain = "com.example.evil"
    model.opset_import.append(helper.make_opsetid("com.example.evil", 1))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    describe(folder)
    with pytest.raises(StartupError, match="cannot be loaded"):
        load(folder, provider)


@pytest.mark.parametrize("name", ["..", "../brightness", "/etc", "brightness/1", ".hidden", "a\0b", "", "BRIGHTNESS"])
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(StartupError, match="is not a model name"):
        on_disk.read(folder.parent.parent, name)


@pytest.mark.parametrize("version", ["..", "../1", "/", "1/../1", "-1", "١"])
def test_versions_that_lead_elsewhere_are_refused(folder: Path, version: str) -> None:
    with pytest.raises(StartupError, match="No model"):
        on_disk.read(folder.parent.parent, "brightness", version)


@pytest.mark.parametrize("file", ["model.onnx", "model.json", "model.int8.onnx"])
def test_a_link_out_of_the_repository_is_refused(folder: Path, tmp_path: Path, file: str) -> None:
    path, elsewhere = folder / file, tmp_path / file
    elsewhere.write_bytes(path.read_bytes() if path.exists() else b"")
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere)
    with pytest.raises(StartupError, match="leaves the repository"):
        load(folder)


def test_a_folder_elsewhere_is_refused_and_one_inside_is_not(folder: Path, tmp_path: Path) -> None:
    folder.rename(folder.with_name("kept"))
    folder.symlink_to("kept")
    assert load(folder).provider == "cpu"
    folder.unlink()
    (folder.parent / "kept").rename(tmp_path / "kept")
    folder.symlink_to(tmp_path / "kept")
    with pytest.raises(StartupError, match="leaves the repository"):
        load(folder)


def test_a_description_of_another_model_is_refused(folder: Path) -> None:
    describe(folder, name="yolov3-tiny")
    with pytest.raises(StartupError, match="describes yolov3-tiny@1"):
        load(folder)

"""The models folder: versions are whole and never change, the same content is there once, nothing else is let in."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from shared import manifest
from shared.manifest import Frame, Manifest, Origin, Traits
from tests.zoo.zoo_random import layer_values, write_weights
from zoo import darknet, repository
from zoo.errors import ContractError, RepositoryError

CFG = """[net]\nwidth=16\nheight=24\n[convolutional]\nfilters=7\nactivation=linear
[yolo]\nclasses=2\nanchors=3,4\n"""
ORIGIN = Origin(source="a test", licence="none")


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return converted(tmp_path, 0)


def converted(folder: Path, seed: int) -> onnx.ModelProto:
    return darknet.convert(CFG, write_weights(folder / f"{seed}.weights", layer_values(CFG, seed))).model


def install(
    models: Path,
    model: onnx.ModelProto,
    *,
    name: str = "m",
    origin: Origin = ORIGIN,
    labels: tuple[str, ...] = ("a", "b"),
) -> Manifest:
    return repository.install(
        models, name, model, Traits(labels=labels, frame=Frame(width=16, height=24), origin=origin)
    )


def test_installed_model_is_read_back(model: onnx.ModelProto, tmp_path: Path) -> None:
    made = install(tmp_path / "models", model)
    found, path = manifest.read(tmp_path / "models", "m")
    assert found == made
    assert (made.version, made.labels, made.frame) == ("1", ("a", "b"), Frame(width=16, height=24))
    assert onnx.load(path) == model
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.onnx"]
    assert [folder.name for folder in path.parent.parent.iterdir()] == ["1"]


def test_same_content_is_the_same_version(model: onnx.ModelProto, tmp_path: Path) -> None:
    first = install(tmp_path, model)
    again = install(tmp_path, model, origin=Origin(source="elsewhere", licence="none"))
    assert again == first
    assert manifest.versions(tmp_path, "m") == ["1"]


def test_other_content_is_the_next_version(model: onnx.ModelProto, tmp_path: Path) -> None:
    before = install(tmp_path, model)
    stamp = (tmp_path / "m" / "1" / "model.onnx").stat()
    assert install(tmp_path, model, labels=("a", "c")).version == "2"
    assert install(tmp_path, converted(tmp_path, 1)).version == "3"
    assert install(tmp_path, model) == before
    assert (tmp_path / "m" / "1" / "model.onnx").stat() == stamp
    assert manifest.versions(tmp_path, "m") == ["1", "2", "3"]


def test_number_of_a_damaged_version_is_not_used_again(model: onnx.ModelProto, tmp_path: Path) -> None:
    install(tmp_path, model)
    (tmp_path / "m" / "1" / "model.json").write_text("{")
    (tmp_path / "m" / "7").mkdir()
    assert install(tmp_path, model).version == "8"


def test_installs_at_once_get_one_version_each(tmp_path: Path) -> None:
    models = [converted(tmp_path, seed) for seed in range(6)]
    gate = threading.Barrier(len(models))

    def one(model: onnx.ModelProto) -> str:
        gate.wait(10)
        return install(tmp_path / "models", model).version

    with ThreadPoolExecutor(len(models)) as threads:
        assert sorted(threads.map(one, models)) == ["1", "2", "3", "4", "5", "6"]


def test_an_install_that_ends_while_another_looks_around_is_no_fault(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "models", model)
    gone = tmp_path / "models" / "m" / ".new-gone"
    glob = Path.glob

    def and_one_that_is_renamed_meanwhile(path: Path, pattern: str) -> list[Path]:
        return [*glob(path, pattern), gone]

    monkeypatch.setattr(Path, "glob", and_one_that_is_renamed_meanwhile)
    assert install(tmp_path / "models", converted(tmp_path, 1)).version == "2"


def test_abandoned_install_is_swept(model: onnx.ModelProto, tmp_path: Path) -> None:
    for name in (".new-old", ".new-young"):
        (tmp_path / "m" / name).mkdir(parents=True)
    os.utime(tmp_path / "m" / ".new-old", (0, 0))
    install(tmp_path, model)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [".new-young", "1"]
    assert manifest.names(tmp_path) == ["m"]


@pytest.mark.parametrize("name", ["", "../up", "UP", "a/b", ".hidden", "x" * 64])
def test_bad_name_is_refused(name: str, model: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="not a model name"):
        install(tmp_path / "models", model, name=name)
    assert not (tmp_path / "models").exists()


def test_other_signatures_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    renamed, wrong_type, invalid = onnx.ModelProto(), onnx.ModelProto(), onnx.ModelProto()
    for copy in (renamed, wrong_type, invalid):
        copy.CopyFrom(model)
    renamed.graph.output[0].name = "dets"
    wrong_type.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    invalid.graph.node[3].op_type = "NoSuchOperator"
    models = tmp_path / "models"
    for broken, labels, reason in (
        (renamed, ("a", "b"), "inputs and outputs"),
        (wrong_type, ("a", "b"), "images of the model"),
        (model, ("a", "b", "c"), "scores of the model"),
        (invalid, ("a", "b"), "not valid ONNX"),
    ):
        with pytest.raises(ContractError, match=reason):
            install(models, broken, labels=labels)
        assert not models.exists() or list(models.iterdir()) == []


def test_unwritable_folder_is_named(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(RepositoryError, match="cannot hold model m"):
        install(tmp_path / "models", model)

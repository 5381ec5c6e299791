"""`spotter models ...` as users run it: what it prints, its exit codes, and what it leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spotter.cli import app, main
from tests.zoo.test_zoo_repository import CFG, converted, install
from tests.zoo.zoo_random import layer_values, write_weights


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with versions 1 and 2 of `m`."""
    for seed in range(2):
        install(tmp_path / "models", converted(tmp_path, seed))
    return tmp_path / "models"


def run(models: Path, *arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(
        app, ["models", *arguments, "--models-dir", str(models)], input=answer, env={"COLUMNS": "160"}
    )


def cells(result: Result) -> list[list[str]]:
    """The rows of a printed table."""
    assert result.exit_code == 0, result.output
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]


def test_list_names_the_catalog_and_what_is_here(models: Path) -> None:
    assert run(models, "alias", "m", "stable", "1").exit_code == 0
    rows = cells(run(models, "list"))
    assert ["yolov3", "-", "-", "", "yes"] in rows
    assert ["m", "1, 2", "2", "stable -> 1", "no"] in rows


def test_show_says_what_a_model_is(models: Path) -> None:
    rows = dict(row for row in cells(run(models, "show", "m@1")) if len(row) == 2)
    assert rows["labels"] == "2: a, b"
    assert rows["frame"] == "16 x 24, stretch, linear"
    assert len(rows["sha256 of model.onnx"]) == 64
    shown = run(models, "show", "m", "--json")
    assert json.loads(shown.stdout) == json.loads((models / "m/2/model.json").read_text())


def test_an_alias_comes_and_goes(models: Path) -> None:
    assert "m@default is version 1" in run(models, "alias", "m", "default", "1").output
    assert json.loads(run(models, "show", "m", "--json").stdout)["version"] == "1"
    assert run(models, "alias", "m", "default", "--remove").exit_code == 0
    assert json.loads(run(models, "show", "m", "--json").stdout)["version"] == "2"


def test_a_version_is_deleted_only_when_asked_twice(models: Path) -> None:
    assert run(models, "rm", "m@1", answer="n\n").exit_code == 1
    assert (models / "m/1/model.json").is_file()
    assert "Deleted: m@1" in run(models, "rm", "m@1", answer="y\n").output
    assert not (models / "m/1/model.json").exists()
    assert "Deleted: m@2" in run(models, "rm", "m", "--yes").output
    assert list((models / "m/2").iterdir()) == []


def test_an_own_model_is_imported_and_shown(models: Path, tmp_path: Path) -> None:
    (tmp_path / "m.cfg").write_text(CFG)
    (tmp_path / "m.names").write_text("left\nright\n")
    weights = write_weights(tmp_path / "m.weights", layer_values(CFG))
    files = ("--cfg", str(tmp_path / "m.cfg"), "--weights", str(weights), "--names", str(tmp_path / "m.names"))
    result = run(models, "import", "own", *files, "--threshold", "0.5", "--frame", "32x64", "--resize", "letterbox")
    assert result.exit_code == 0, result.output
    assert "Model own, version 1, is in" in result.stderr
    rows = dict(row for row in cells(run(models, "show", "own")) if len(row) == 2)
    assert rows["labels"] == "2: left, right"
    assert rows["frame"] == "32 x 64, letterbox, padded with grey 127.5, linear"
    assert rows["thresholds"] == "confidence 0.5, overlap 0.45"
    assert "version 2" in run(models, "import", "own", *files).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("pull", "yolov99"), "The catalog has no model 'yolov99'"),
        (("show", "m@7"), "No model m@7"),
        (("show", "other"), "No model other"),
        (("alias", "m", "stable"), "Give either the version"),
        (("alias", "m", "stable", "1", "--remove"), "Give either the version"),
        (("alias", "m", "stable", "9"), "No version 9 of m"),
        (("rm", "-y", "m@"), "No version  of m"),
        (("rm", "-y", "other"), "No model other"),
        (("import", "own"), "Give --weights and --cfg"),
        (("import", "own", "--cfg", "x", "--onnx", "y"), "--cfg is for darknet models"),
        (("import", "own", "--onnx", "none.onnx"), "none.onnx cannot be read"),
        (("import", "own", "--weights", "none"), "Give either a cfg file or the name of a topology"),
        (("import", "own", "--onnx", "y", "--frame", "big"), "'big' is no frame"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(
    arguments: tuple[str, ...],
    sentence: str,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["spotter", "models", *arguments, "--models-dir", str(models)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"spotter: {sentence}")
    assert (models / "m/1/model.json").is_file()

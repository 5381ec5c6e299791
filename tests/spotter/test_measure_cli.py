"""`spotter models optimise` and `check` as users run them, on a model whose answers are known."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from shared import manifest
from spotter import local, optimise
from spotter.cli import app
from spotter.errors import StackError
from spotter.optimise import pictures_in
from tests.zoo.zoo_convolutions import installed
from worker import hardware
from worker import local as worker_local
from worker.providers import PROVIDERS

LEVELS = (20, 60, 120, 135, 190, 230)
"""Greys. Those in the middle are light and dark at once, above the threshold of 0.25; the others are one of them."""
needs_openvino = pytest.mark.skipif(
    not PROVIDERS["openvino"].available(), reason="this ONNX Runtime has no OpenVINO provider"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the model `light`, and a folder with a picture of each level."""
    installed(tmp_path / "models")
    (tmp_path / "pictures").mkdir()
    for level in LEVELS:
        pixels = np.random.default_rng(level).uniform(level - 20, level + 20, (16, 16, 3)).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{level:03}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's code within this process, and one turn of timing: quicker, and the same otherwise."""

    def run(command: object, *, input: bytes, **rest: object) -> subprocess.CompletedProcess[bytes]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = worker_local.main()
        return subprocess.CompletedProcess((), code, out.getvalue().encode(), err.getvalue().encode())

    monkeypatch.setattr("spotter.local.subprocess.run", run)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # which a Decoder sets for the process
    monkeypatch.setattr(optimise, "ROUNDS", 1)


def run(*arguments: str, provider: str = "cpu") -> Result:
    return CliRunner().invoke(
        app, ["models", *arguments], env={"COLUMNS": "120", "SPOTTER_PROVIDER": provider, "SPOTTER_INFER_THREADS": "1"}
    )


def read(folder: Path, version: str) -> manifest.Manifest:
    return manifest.read(folder / "models", "light", version)[0]


def test_fp16_without_a_gpu_is_emulated(folder: Path) -> None:
    result = run("optimise", "light", "--precision", "fp16", "--pictures", "pictures")
    assert result.exit_code == 0, result.output
    made = read(folder, "2")
    assert made.variants["fp16"].agreement.model_dump(exclude={"confidence_drift"}) == {
        "pictures": 6, "detections": 8, "matched": 1.0,
    }  # fmt: skip
    assert 0 < made.variants["fp16"].agreement.confidence_drift < 0.002, "a CPU alone would show none"
    assert (folder / "models/light/2/model.fp16.onnx").is_file()
    assert made.precision == {}
    assert "light@2 has fp16, and fp32 as before. Against fp32: 100.0% of 8 detections in 6 pictures" in result.stderr
    assert "There is no GPU here: fp16 was emulated" in result.stderr


@needs_openvino
def test_int8_is_calibrated_measured_and_preferred_where_it_is_faster(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimise, "WORTH", 0.0)  # so small a model is no faster
    result = run("optimise", "light", "--precision", "int8", "--pictures", "pictures", provider="openvino")
    assert result.exit_code == 0, result.output
    made = read(folder, "2")
    assert made.precision == {"openvino": "int8"}
    assert made.variants["int8"].agreement.close
    assert made.variants["int8"].agreement.confidence_drift > 0
    assert "precision auto takes int8 on openvino from now on" in result.stderr
    assert "Calibrated and compared with the same 6 pictures" in result.stderr
    assert [line.split("│")[1].strip() for line in result.stdout.splitlines() if "│" in line] == ["fp32", "int8"]


@needs_openvino
def test_int8_that_is_no_faster_is_kept_but_not_preferred(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimise, "WORTH", 1e9)
    result = run("optimise", "light", "--precision", "int8", "--pictures", "pictures", provider="openvino")
    assert result.exit_code == 0, result.output
    assert read(folder, "2").precision == {}
    assert "precision auto stays as it is" in result.stderr


def test_many_pictures_are_split(folder: Path) -> None:
    for k in range(optimise.ENOUGH_TO_SPLIT - len(LEVELS)):
        (folder / f"pictures/more{k:02}.png").write_bytes((folder / "pictures/020.png").read_bytes())
    result = run("optimise", "light", "--precision", "int8", "--pictures", "pictures")
    assert result.exit_code == 0, result.output
    assert read(folder, "2").variants["int8"].agreement.pictures == 5
    assert "Calibrated and compared" not in result.stderr


@needs_openvino
@pytest.mark.skipif(not hardware.has_bf16(), reason="this CPU has no bf16 arithmetic")
def test_bf16_needs_no_graph_but_a_record(folder: Path) -> None:
    before = precision_now(folder)
    result = run("optimise", "light", "--precision", "bf16", "--pictures", "pictures", provider="auto")
    assert result.exit_code == 0, result.output
    made = read(folder, "2")
    assert made.variants["bf16"].sha256 == made.sha256
    assert sorted(path.name for path in (folder / "models/light/2").iterdir()) == ["model.json", "model.onnx"]
    close = made.variants["bf16"].agreement.close
    assert (before, precision_now(folder)) == ("fp32", "bf16" if close else "fp32")
    assert ("takes bf16 on openvino from now on" in result.stderr) is close


def precision_now(folder: Path) -> str:
    here = local.Local("light", folder / "models", {})
    return str(here.detect([str(folder / "pictures/020.png")])[0].picture.timings["precision"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("light", "--precision", "int8"), "int8 is calibrated on pictures"),
        (("light", "--precision", "fp16", "--pictures", "models"), "There are no pictures in models"),
        (("other", "--precision", "fp16", "--pictures", "pictures"), "No model other in models"),
        (("light", "--precision", "bf16", "--pictures", "pictures"), "Provider cpu does not run bf16"),
        (("light", "--precision", "int8", "--pictures", "few"), "Calibration needs at least 5 pictures"),
        (("light", "--precision", "int8", "--pictures", "bad"), "bad/a.jpg: The bytes are not a picture"),
        (("light", "--precision", "fp16", "--pictures", "bad"), "bad/a.jpg: The bytes are not a picture"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(arguments: tuple[str, ...], sentence: str, folder: Path) -> None:
    (folder / "few").mkdir()
    (folder / "few/a.png").write_bytes((folder / "pictures/020.png").read_bytes())
    (folder / "bad").mkdir()
    (folder / "bad/a.jpg").write_text("no picture")
    result = run("optimise", *arguments)
    assert isinstance(result.exception, StackError), result.output
    assert str(result.exception).startswith(sentence)
    assert [path.name for path in (folder / "models/light").iterdir()] == ["1"]


def test_a_model_that_finds_nothing_cannot_be_measured(folder: Path) -> None:
    path = folder / "models/light/1/model.json"
    told = json.loads(path.read_text())
    told["defaults"]["threshold"] = 1.0
    path.write_text(json.dumps(told))
    result = run("optimise", "light", "--precision", "fp16", "--pictures", "pictures")
    assert "finds nothing in these pictures at its threshold of 1" in str(result.exception)


def test_pictures_are_found_by_their_endings_and_evenly_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.JPG", "a.png", "c.txt", "sub/d.webp", "e.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    names = [str(tmp_path / name) for name in ("a.png", "b.JPG", "e.jpeg", "sub/d.webp")]
    assert pictures_in(tmp_path) == names
    monkeypatch.setattr(optimise, "MOST_PICTURES", 2)
    assert pictures_in(tmp_path) == [names[0], names[2]]


@pytest.fixture
def record(folder: Path) -> Path:
    names = [str(path) for path in sorted((folder / "pictures").iterdir())]
    result = run("check", "light", *names, "--record", "r.jsonl")
    assert result.exit_code == 0, result.output
    return folder / "r.jsonl"


def test_a_model_agrees_with_its_own_record(record: Path) -> None:
    result = run("check", "light", "--against", str(record))
    assert result.exit_code == 0, result.output
    assert "light agrees with" in result.stderr
    assert "100.0% of 8 detections in 6 pictures found again, 0 new ones" in result.stderr


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (lambda one: one | {"label": "kite"}, "0.0% of 8"),
        (lambda one: one | {"box": {"x": 0, "y": 0, "width": 4, "height": 4}}, "0.0% of 8"),
        (lambda one: one | {"confidence": one["confidence"] * 0.9}, "100.0% of 8"),
    ],
    ids=["label", "box", "confidence"],
)
def test_another_result_fails_the_check(change: Any, figures: str, record: Path) -> None:
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    for entry in entries:
        entry["detections"] = [change(one) for one in entry["detections"]]
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = run("check", "light", "--against", str(record))
    assert result.exit_code == 1
    assert "light does NOT agree" in result.stderr
    assert figures in result.stderr
    assert run("check", "light", "--against", str(record), "--least-matched", "0", "--most-drift", "1").exit_code == 0


def test_a_job_s_results_with_pictures_named_beside_them(record: Path, folder: Path) -> None:
    names = [str(path) for path in sorted((folder / "pictures").iterdir())]
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    for entry in entries:
        del entry["picture"]
    job = folder / "job.json"
    job.write_text(json.dumps({"id": "job_1", "results": entries}))
    assert run("check", "light", *names, "--against", "job.json").exit_code == 0
    result = run("check", "light", *reversed(names), "--against", "job.json")
    assert result.exit_code == 1
    assert f"{names[-1]}: something is missing or new" in result.stderr


def test_a_variant_may_be_checked(record: Path, folder: Path) -> None:
    assert run("optimise", "light", "--precision", "int8", "--pictures", "pictures").exit_code == 0
    result = run("check", "light", "--against", str(record), "--precision", "int8")
    assert result.exit_code == 0, result.output
    assert "confidence moves by 0.0000" not in result.stderr
    result = run("check", "light@1", "--against", str(record), "--precision", "int8")
    assert str(result.exception).startswith("light@1 has no int8 variant")


@pytest.mark.parametrize("arguments", [(), ("--against", "a", "--record", "b")])
def test_check_needs_one_of_two(arguments: tuple[str, ...], folder: Path) -> None:
    assert str(run("check", "light", *arguments).exception).startswith("Give either --against")

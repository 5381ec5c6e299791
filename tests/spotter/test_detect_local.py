"""Running a model without a service, as users do it, and what is said when the child process fails."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from spotter import local
from spotter.cli import app, main
from spotter.errors import StackError
from spotter.local import Local
from tests.zoo.zoo_convolutions import installed

# What the model says of a picture of grey 204 (0.8) is known: light, sigmoid(20 * 0.8 - 10), over the whole picture.
LIGHT = round(1 / (1 + math.exp(-6)), 4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the model `light`, and pictures."""
    installed(tmp_path / "models")
    for name, level in (("bright", 204), ("dark", 51), ("grey", 128)):
        Image.new("RGB", (40, 20), (level,) * 3).save(tmp_path / f"{name}.png")
    (tmp_path / "text.jpg").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["detect", "--local", "--model", "light", *arguments], env={"COLUMNS": "120", "SPOTTER_PROVIDER": "cpu"}
    )


def test_a_table_and_annotated_pictures(folder: Path) -> None:
    result = run("bright.png", "dark.png", "--draw-to", "out/drawn")
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert rows == [
        ["bright.png", "light", f"{LIGHT * 100:.1f} %", "0", "0", "40", "20"],
        ["dark.png", "dark", f"{LIGHT * 100:.1f} %", "0", "0", "40", "20"],
    ]
    assert sorted(path.name for path in (folder / "out/drawn").iterdir()) == [
        "bright-detections.jpg", "dark-detections.jpg",
    ]  # fmt: skip


def test_json_lines_of_a_version_above_a_threshold(folder: Path) -> None:
    result = run("grey.png", "bright.png", "--model", "light@1", "--threshold", "0.6", "--json")
    assert result.exit_code == 0, result.output
    grey, bright = (json.loads(line) for line in result.stdout.splitlines())
    assert (grey["picture"], grey["detections"], bright["picture"]) == ("grey.png", [], "bright.png")
    assert [(one["label"], one["confidence"]) for one in bright["detections"]] == [("light", LIGHT)]
    assert (bright["version"], bright["timings"]["provider"]) == ("1", "cpu")


def test_a_bad_picture_fails_alone(folder: Path) -> None:
    result = run("text.jpg", "bright.png", "--draw-to", "out", "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["failed", "succeeded"]
    assert "text.jpg: The bytes are not a picture" in result.stderr
    assert [path.name for path in (folder / "out").iterdir()] == ["bright-detections.jpg"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gone.png",), "gone.png: No such file"),
        (("https://example.org/a.jpg",), "https://example.org/a.jpg is not on this disk"),
        (("bright.png", "--model", "other"), "No model other in models"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["spotter", "detect", "--local", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"spotter: {sentence}")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise ModuleNotFoundError(\"No module named 'onnxruntime'\")", "needs the worker's packages"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("import sys; sys.exit('worker: It is late.')", "^It is late.$"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("pass", "answered 0 pictures where 1 were asked"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
    ],
)
def test_a_child_that_fails_is_one_sentence(code: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-I", "-S", "-c", code))
    with pytest.raises(StackError, match=sentence):
        Local("light", Path("models"), os.environ, timeout_s=1).detect(["a.jpg"])


def test_a_child_s_warning_is_passed_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.dumps({"index": 0, "status": "succeeded"})
    code = f"import sys; sys.stderr.write('worker: slow\\n'); print({answer!r})"
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-I", "-S", "-c", code))
    (one,) = Local("light", Path("models"), os.environ).detect(["a.jpg"])
    assert one.picture.status == "succeeded"
    assert capsys.readouterr().err == "worker: slow\n"

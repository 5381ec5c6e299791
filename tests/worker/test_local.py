"""`python -m worker.local` as a process: a request in, a line for each picture out, frames, and how it fails."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from shared.errors import StartupError
from shared.schema import PictureResult
from tests.worker.tiny_onnx import SIDE, brightness, manifest
from worker import local
from worker.image import Decoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with `brightness` versions 1 and 2, and pictures of one grey each."""
    for version in ("1", "2"):
        place = tmp_path / "models/brightness" / version
        place.mkdir(parents=True)
        told = manifest(brightness(place / "model.onnx"), version=version, defaults={"threshold": 0.3})
        (place / "model.json").write_text(told.model_dump_json())
    for level in (0, 51, 255):
        Image.new("RGB", (20, 10), (level,) * 3).save(tmp_path / f"{level}.png")
    return tmp_path


class Answer(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Ask = Callable[..., Answer]


def document(request: dict[str, Any]) -> str:
    return json.dumps({"model": "brightness", "models_dir": "models", "provider": "cpu", "precision": "fp32"} | request)


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask it within this process, which is quicker than a new one."""
    monkeypatch.chdir(folder)

    def call(**request: Any) -> Answer:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(document(request).encode())))
        code = local.main()
        return Answer(code, *capsys.readouterr())

    return call


def process(folder: Path, settings: dict[str, str] | None = None, **request: Any) -> Answer:
    paths = os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker.local"],
        input=document(request),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **(settings or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def results(done: Answer) -> list[PictureResult]:
    assert (done.returncode, done.stderr) == (0, "")
    return [PictureResult.model_validate_json(line) for line in done.stdout.splitlines()]


def test_each_picture_has_a_line_and_a_bad_one_fails_alone(folder: Path) -> None:
    (folder / "text.txt").write_text("no picture")
    drawn = [str(folder / f"{k}.jpg") for k in range(4)]
    names = ["51.png", "text.txt", "gone.png", "255.png"]
    dim, text, gone, bright = results(process(folder, pictures=names, drawn=drawn))
    assert [(one.index, one.status, one.version) for one in (dim, bright)] == [
        (0, "succeeded", "2"),
        (3, "succeeded", "2"),
    ]
    assert dim.detections is not None
    (found, smaller) = dim.detections
    assert (found.label, found.confidence, found.box.model_dump()) == (
        "dark", 0.8, {"x": 0, "y": 0, "width": 20, "height": 10},
    )  # fmt: skip
    assert smaller.box.model_dump() == {"x": 0, "y": 0, "width": 10, "height": 5}
    assert bright.detections is not None
    assert [one.label for one in bright.detections] == ["light", "light"]
    assert dim.timings is not None
    assert (dim.timings.provider, dim.timings.precision, dim.timings.batch_size) == ("cpu", "fp32", 1)
    assert text.error is not None
    assert gone.error is not None
    assert (text.error.code, gone.error.code) == ("invalid_image", "source_not_found")
    assert [Path(path).exists() for path in drawn] == [True, False, False, True]
    with Image.open(drawn[0]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (20, 10))


def test_a_version_and_options_may_be_named(ask: Ask) -> None:
    done = ask(model="brightness@1", pictures=["51.png"], options={"threshold": 0.1, "classes": ["light"]})
    (one,) = results(done)
    assert one.version == "1"
    assert [(found.label, found.confidence) for found in one.detections or ()] == [("light", 0.2), ("light", 0.2)]


def test_the_settings_hold_where_the_request_says_nothing(
    folder: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "models").rename(folder / "elsewhere")
    monkeypatch.setenv("SPOTTER_MODELS_DIR", "elsewhere")
    monkeypatch.setenv("SPOTTER_MAX_IMAGE_BYTES", "1024")
    (folder / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1024))
    small, large = results(ask(models_dir=None, pictures=["0.png", "large.png"]))
    assert small.status == "succeeded"
    assert large.error is not None
    assert large.error.code == "source_too_large"


def test_frames_are_what_the_model_would_see(folder: Path, ask: Ask) -> None:
    Image.fromarray(np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)).save(folder / "exact.png")
    done = ask(pictures=["exact.png", "51.png"], frames_to="frames.npy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    frames = np.load(folder / "frames.npy")
    assert (frames.dtype, frames.shape) == (np.uint8, (2, SIDE, SIDE, 3))
    np.testing.assert_array_equal(frames[0].ravel(), np.arange(SIDE * SIDE * 3))
    assert (frames[1] == 51).all()


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"model": "other"}, 78, "No model other in models"),
        ({"model": "brightness@7"}, 78, "No model brightness@7"),
        ({"model": "Ä"}, 78, "The request is not valid: model"),
        ({"precision": "int8"}, 78, "brightness@2 has no int8 variant"),
        ({"provider": "tpu"}, 78, "There is no provider tpu"),
        ({"pictures": []}, 78, "The request is not valid: pictures"),
        ({"drawn": ["a", "b"]}, 78, "2 paths for 1 annotated pictures"),
        ({"drawn": ["no/folder/a.jpg"]}, 1, "no/folder/a.jpg: No such file or directory"),
        ({"pictures": ["0.png", "gone.png"], "frames_to": "f.npy"}, 78, "gone.png: There is no file gone.png"),
        ({"surprise": 1}, 78, "The request is not valid: surprise"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(ask: Ask, request_: dict[str, Any], code: int, text: str) -> None:
    done = ask(**{"pictures": ["0.png"], **request_})
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"worker: {text}")


def test_bad_settings_are_one_sentence(folder: Path) -> None:
    done = process(folder, {"SPOTTER_MAX_BATCH": "many"}, pictures=["0.png"])
    assert done.returncode == 78
    assert done.stderr.startswith("worker: The settings are not valid: SPOTTER_MAX_BATCH")


def test_too_many_frames_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MOST_FRAMES_BYTES", SIDE * SIDE * 3)
    pictures = local.Pictures(manifest(folder / "models/brightness/1/model.onnx"), Decoder(1000, 1 << 20), 1 << 20)
    with pytest.raises(StartupError, match="use fewer pictures"):
        local.write_frames(pictures, (str(folder / "0.png"), str(folder / "51.png")), folder / "f.npy")
    assert not (folder / "f.npy").exists()

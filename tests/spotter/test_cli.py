"""The `spotter` command as users run it: as a process, with real exit codes and one sentence for each failure."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spotter.address import free_port
from spotter.cli import app
from spotter.client import Spotter
from spotter.finding import MOST_PICTURES, batches, drawn_path
from tests.spotter.job_server import FAILED, JOB, JobServer, serving

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
SAMPLE = ROOT / "spotter/sample/dog.jpg"
COMMAND = (sys.executable, "-c", "from spotter.cli import main; main()")
needs_model = pytest.mark.skipif(
    not any(MODELS.glob("yolov3-tiny/*/model.json")), reason="models/yolov3-tiny is missing: spotter models pull"
)


@pytest.fixture
def server() -> Iterator[JobServer]:
    with serving() as started:
        yield started


def run(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, "COLUMNS": "120", **(env or {})}
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=whole, capture_output=True, text=True, timeout=100)


def test_detect_prints_a_table(server: JobServer) -> None:
    server.will_answer(JOB)
    result = CliRunner().invoke(app, ["detect", str(SAMPLE), "--url", server.url, "--threshold", "0.3", "--model", "m"])
    assert result.exit_code == 0, result.output
    for word in ("dog.jpg", "dog", "82.9 %", "124", "220", "258", "298"):
        assert word in result.output
    assert b'{"threshold": 0.3}' in server.asked[0].body
    assert b"draw" not in server.asked[0].body


def test_detect_prints_json_lines_and_writes_annotated_pictures(server: JobServer, tmp_path: Path) -> None:
    server.will_answer(JOB, b"JPEG")
    result = run("detect", str(SAMPLE), "--url", server.url, "--json", "--draw-to", "drawn", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    shown = json.loads(line)
    assert shown["picture"] == str(SAMPLE)
    assert shown["job"] == "job_1"
    assert shown["detections"][0]["label"] == "dog"
    assert (tmp_path / "drawn/dog-detections.jpg").read_bytes() == b"JPEG"
    assert "drawn/dog-detections.jpg" in result.stderr


def test_a_failed_picture_is_exit_code_1_with_its_reason(server: JobServer, tmp_path: Path) -> None:
    server.will_answer(FAILED)
    result = run("detect", str(SAMPLE), "--url", server.url, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == f"spotter: {SAMPLE}: This is no picture. (invalid_image)\n"


def test_no_service_is_exit_code_2_and_one_sentence(tmp_path: Path) -> None:
    result = run("detect", str(SAMPLE), "--url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "Run `spotter up`" in result.stderr


def test_a_missing_file_is_one_sentence_before_anything_is_posted(server: JobServer, tmp_path: Path) -> None:
    result = run("detect", str(SAMPLE), "nothing.jpg", "--url", server.url, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "spotter: nothing.jpg: No such file or directory.\n"
    assert server.asked == []


def _model(folder: Path) -> Path:
    """Something that looks like a model until a worker loads it."""
    version = folder / "models/yolov3-tiny/1"
    version.mkdir(parents=True)
    (version / "model.json").write_text("{}")
    (version / "model.onnx").write_bytes(b"")
    return folder


def test_up_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    result = run("up", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "spotter: There is no model in models: run `spotter models pull yolov3-tiny`.\n"


def test_up_on_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("up", "--port", str(taken.getsockname()[1]), cwd=_model(tmp_path))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "is already in use" in result.stderr


def test_up_with_an_unusable_data_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    result = run("up", "--port", "0", cwd=_model(tmp_path))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "data cannot be used" in result.stderr


@pytest.mark.system
def test_up_with_a_model_that_the_worker_cannot_load_stops_and_says_why(tmp_path: Path) -> None:
    result = run("up", "--port", "0", cwd=_model(tmp_path), env={"SPOTTER_MODELS": "yolov99"})
    assert result.returncode == 1
    assert result.stderr.startswith("spotter: The worker cannot start: worker: No model yolov99 in ")
    assert len(result.stderr.splitlines()) == 1
    assert "again" not in result.stdout


@pytest.mark.system
@needs_model
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_and_a_signal_ends_it_with_0(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    command = [*COMMAND, "up", "--port", str(port), "--models-dir", str(MODELS)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        watch = threading.Timer(60, process.kill)  # readline has no timeout of its own
        watch.start()
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Spotter is up at" in line:
                    break
            assert process.poll() is None, "".join(lines)
            with Spotter(f"http://127.0.0.1:{port}") as service:
                job = service.detect(SAMPLE, timeout_s=30)
            assert "dog" in {found.label for found in job.pictures[0].detections}
            process.send_signal(number)
            rest = process.stdout.read()
            assert process.wait(timeout=30) == 0, rest
        finally:
            watch.cancel()
            process.kill()
    assert {line.split(" ")[0] for line in lines} >= {"valkey", "api", "stack"}
    assert rest.endswith("stack | stopped\n")


@pytest.mark.system
@needs_model
def test_demo_shows_the_sample_and_leaves_nothing_running(tmp_path: Path) -> None:
    result = run("demo", "--models-dir", str(MODELS), cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert "dog" in result.stdout
    assert "Annotated picture: out/dog-detections.jpg" in result.stdout
    assert (tmp_path / "out/dog-detections.jpg").read_bytes().startswith(b"\xff\xd8")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pictures_are_spread_over_jobs_in_order(tmp_path: Path) -> None:
    names = [f"https://example.org/{number}" for number in range(2 * MOST_PICTURES + 1)]
    groups = list(batches(names))
    assert [len(group) for group in groups] == [MOST_PICTURES, MOST_PICTURES, 1]
    assert [name for group in groups for name in group] == names
    large = [tmp_path / str(number) for number in range(3)]
    for path in large:
        with path.open("wb") as file:
            file.truncate(9 * 1024 * 1024)
    assert [len(group) for group in batches([str(path) for path in large])] == [1, 1, 1]


def test_annotated_pictures_never_take_each_others_names() -> None:
    taken: set[Path] = set()
    names = ["a/dog.jpg", "b/dog.png", "https://example.org/x/dog.jpg?size=1/2", "https://example.org/", ".."]
    assert [drawn_path(Path("out"), name, taken).name for name in names] == [
        "dog-detections.jpg",
        "dog-detections-2.jpg",
        "dog-detections-3.jpg",
        "example-detections.jpg",
        ".-detections.jpg",
    ]

"""The GPU bench without a GPU: its refusals, and that its random model computes finite numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import prepared
from shared import manifest
from worker import hardware
from worker.engine import Engine
from worker.plan import Asked

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "gpu.sh"


def script(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script with the system's own programs and those in `path`."""
    environment = {"PATH": f"{path}:/usr/bin:/bin", "HOME": str(path)}
    return subprocess.run(
        ["/bin/bash", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, env=environment
    )


def smi(folder: Path, says: str) -> None:
    """An nvidia-smi that lists this."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)


def test_the_script_refuses_in_one_sentence_without_a_gpu(tmp_path: Path) -> None:
    smi(tmp_path, "No devices found.")
    ran = script(tmp_path, str(tmp_path))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "There is no NVIDIA GPU here: nvidia-smi lists none.\n"


def test_the_script_refuses_without_wheels(tmp_path: Path) -> None:
    smi(tmp_path, "GPU 0: NVIDIA H200 (UUID: GPU-0)")
    assert script(tmp_path, str(tmp_path)).stderr == f"There are no wheels in {tmp_path}.\n"
    assert script(tmp_path, str(tmp_path / "absent")).stderr == f"There are no wheels in {tmp_path / 'absent'}.\n"
    assert "Usage" in script(tmp_path).stderr


@pytest.mark.skipif(hardware.cuda_devices() > 0, reason="there is a GPU here")
def test_the_bench_refuses_in_one_sentence_without_a_gpu() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench.gpu"], capture_output=True, text=True, timeout=60, cwd=ROOT, env=dict(os.environ)
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "There is no NVIDIA GPU here: the driver lists no CUDA device.\n"


def test_a_random_model_runs_in_fp32_and_fp16_and_finds_nothing(tmp_path: Path) -> None:
    made = prepared(tmp_path, "yolov3-tiny", None)
    assert prepared(tmp_path, "yolov3-tiny", None) == made, "it is made once"
    described, path = manifest.read(tmp_path, "yolov3-tiny")
    frame = np.random.default_rng(1).integers(0, 256, (1, 416, 416, 3), np.uint8)
    for precision in ("fp32", "fp16"):
        output = Engine.load(path, described, "cpu", precision, Asked(threads=1)).run(frame)
        assert np.isfinite(output.boxes).all()
        assert output.scores.max() < described.defaults.threshold

"""A worker that cannot work does not start: one sentence, and an exit code that says that starting again is no use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.roles import as_role

pytestmark = pytest.mark.system

EX_CONFIG = 78


def started(**settings: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **{f"SPOTTER_{name.upper()}": value for name, value in settings.items()}}
    return subprocess.run([sys.executable, "-m", "worker.main"], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("models", "nonesuch", "No model nonesuch"),
        ("webhook_secret", "whsec_short", "SPOTTER_WEBHOOK_SECRET"),
        ("lease_s", "never", "SPOTTER_LEASE_S"),
        ("precision", "fp16", "does not run fp16"),
        ("fetch_ports", "99999", "SPOTTER_FETCH_PORTS"),
    ],
)
def test_the_reason_is_one_sentence(redis_url: str, models_dir: Path, setting: str, value: str, reason: str) -> None:
    done = started(**({"redis_url": as_role(redis_url, "worker"), "models_dir": str(models_dir)} | {setting: value}))
    assert done.returncode == EX_CONFIG
    (sentence,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert sentence.startswith("worker: ")
    assert reason in sentence


def test_a_damaged_model_is_not_served(redis_url: str, models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "yolov3-tiny" / "1"
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes((models_dir / "yolov3-tiny" / "1" / "model.json").read_bytes())
    (folder / "model.onnx").write_bytes(b"something else")
    done = started(redis_url=as_role(redis_url, "worker"), models_dir=str(tmp_path))
    assert done.returncode == EX_CONFIG
    assert "sha256" in done.stderr

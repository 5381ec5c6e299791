"""bf16 against fp32: the same labels, confidences within 0.02."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.manifest import Manifest
from tests.reference.agreement import NAMES, Detect, assert_agree
from worker import hardware
from worker.engine import Engine
from worker.providers import PROVIDERS

pytest_plugins = ["tests.reference.official_model"]
pytestmark = [
    pytest.mark.timeout(600),  # the first test may fetch the weights
    pytest.mark.skipif(not PROVIDERS["openvino"].available(), reason="this ONNX Runtime has no OpenVINO provider"),
    pytest.mark.skipif(not hardware.has_bf16(), reason="this CPU has no bf16 arithmetic"),
]


@pytest.fixture(scope="module")
def engines(stretched: tuple[Path, Manifest]) -> tuple[Engine, Engine]:
    path, manifest = stretched
    return Engine.load(path, manifest, "openvino", "bf16"), Engine.load(path, manifest, "openvino", "fp32")


@pytest.mark.parametrize("name", NAMES)
def test_bf16_stays_close_to_fp32(engines: tuple[Engine, Engine], detect: Detect, name: str) -> None:
    half, full = engines
    assert_agree(detect(name, half), detect(name, full), confidence=0.02, pixels=3.0)

"""Variants of the official yolov3-tiny against fp32: fp16 as a GPU stores it, int8 on the provider that runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from shared.manifest import Manifest
from spotter.agreement import Agreement, compare
from spotter.job import Box, Detection, Picture
from tests.reference.agreement import NAMES, PICTURES, Detect, Found
from worker.engine import Engine
from worker.frame import fit_to
from worker.image import Decoder
from worker.providers import PROVIDERS
from zoo.precision.half import halve
from zoo.precision.int8 import quantise

pytest_plugins = ["tests.reference.official_model"]
pytestmark = pytest.mark.timeout(600)  # the first test may fetch the weights


def picture(found: list[Found], above: float) -> Picture:
    detections = []
    for one in found:
        if one.confidence >= above:
            left, top, right, bottom = one.corners
            box = Box(left, top, right - left, bottom - top)
            detections.append(Detection(str(one.class_id), one.class_id, one.confidence, box))
    return Picture(0, None, "succeeded", None, tuple(detections), None, {}, {})


def agreement(detect: Detect, engine: Engine, exact: Engine) -> Agreement:
    """Over the sample pictures: fp32 from 0.25 on, the other from 0.24 on, as `detect` finds it."""
    expected = [picture(detect(name, exact), 0.25) for name in NAMES]
    return compare(expected, [picture(detect(name, engine), 0.24) for name in NAMES], 0.25)


@pytest.fixture(scope="module")
def frames(stretched: tuple[Path, Manifest]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    _, told = stretched
    decoder = Decoder(50_000_000, 1 << 30)
    pixels = [decoder.decode((PICTURES / name).read_bytes()) for name in NAMES]
    return np.stack([np.asarray(fit_to(told, one)[0], np.uint8) for one in pixels])


def test_fp16_stays_within_a_few_thousandths(stretched: tuple[Path, Manifest], detect: Detect, tmp_path: Path) -> None:
    path, told = stretched
    exact = Engine.load(path, told, "cpu", "fp32")
    for emulated in (True, False):
        onnx.save(halve(onnx.load(path), emulated), tmp_path / "half.onnx")
        found = agreement(detect, Engine.load(path, told, "cpu", "fp16", trial=tmp_path / "half.onnx"), exact)
        assert (found.matched, found.extra) == (1, 0)
        assert found.largest_drift <= 0.003


@pytest.mark.skipif(not PROVIDERS["openvino"].available(), reason="this ONNX Runtime has no OpenVINO provider")
def test_int8_stays_within_what_auto_takes(
    stretched: tuple[Path, Manifest],
    frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    detect: Detect,
    tmp_path: Path,
) -> None:
    path, told = stretched
    onnx.save(quantise(onnx.load(path), frames), tmp_path / "int8.onnx")
    engine = Engine.load(path, told, "openvino", "int8", trial=tmp_path / "int8.onnx")
    found = agreement(detect, engine, Engine.load(path, told, "openvino", "fp32"))
    assert found.detections > 20
    assert found.matched >= 0.95
    assert found.confidence_drift <= 0.02

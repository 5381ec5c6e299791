"""fp32 with `resize: stretch` against OpenCV's DNN module, an independent darknet importer, run here and now."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.manifest import Manifest
from tests.reference.agreement import NAMES, PICTURES, Detect, Found, assert_agree
from worker.engine import Engine
from worker.providers import PROVIDERS

pytest_plugins = ["tests.reference.official_model"]
pytestmark = pytest.mark.timeout(600)  # the first test may fetch the weights

HERE = [name for name, provider in PROVIDERS.items() if provider.available()]


@pytest.fixture(scope="module")
def reference(weights: Path, cfg: Path) -> dict[str, list[Found]]:
    """What OpenCV finds above 0.24, by picture."""
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    return {name: _detect(net, PICTURES / name) for name in NAMES}


def _detect(net: cv2.dnn.Net, picture: Path) -> list[Found]:
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    height, width = pixels.shape[:2]
    net.setInput(cv2.dnn.blobFromImage(pixels, 1 / 255, (416, 416), swapRB=False, crop=False))
    rows = np.concatenate([np.asarray(part) for part in net.forward(net.getUnconnectedOutLayersNames())])
    found = []
    for class_id in range(rows.shape[1] - 5):
        some = rows[rows[:, 5 + class_id] > 0.24]
        scores = some[:, 5 + class_id].tolist()
        boxes = [
            ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height) for x, y, w, h in some[:, :4].tolist()
        ]
        for k in cv2.dnn.NMSBoxes(boxes, scores, 0.24, 0.45):
            left, top, across, down = boxes[int(k)]
            one = Found(class_id, scores[int(k)], (left, top, left + across, top + down))
            found.append(one.clipped(width, height))
    return found


@pytest.fixture(scope="module", params=HERE)
def engine(request: pytest.FixtureRequest, stretched: tuple[Path, Manifest]) -> Engine:
    path, manifest = stretched
    return Engine.load(path, manifest, request.param, "fp32")


@pytest.mark.parametrize("name", NAMES)
def test_fp32_agrees_with_opencv(engine: Engine, detect: Detect, reference: dict[str, list[Found]], name: str) -> None:
    assert_agree(detect(name, engine), reference[name], confidence=0.002, pixels=1.0)


def test_there_are_at_least_five_pictures() -> None:
    assert len(NAMES) >= 5

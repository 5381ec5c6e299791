"""fp32 with `resize: letterbox` against the original darknet: as recorded, and itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.manifest import Manifest
from tests.reference.agreement import NAMES, PICTURES, Detect, Found, assert_agree
from worker.engine import Engine

pytest_plugins = ["tests.reference.official_model"]
pytestmark = pytest.mark.timeout(600)  # the first test may fetch the weights

HERE = Path(__file__).parent
LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
RECORD: dict[str, Any] = json.loads((HERE / "darknet.json").read_text())


def found(rows: list[dict[str, float]], name: str) -> list[Found]:
    with Image.open(PICTURES / name) as opened:
        width, height = opened.size
    return [
        Found(
            int(row["class_id"]),
            row["confidence"],
            (row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"]),
        ).clipped(width, height)
        for row in rows
    ]


@pytest.fixture(scope="module")
def engine(letterboxed: tuple[Path, Manifest]) -> Engine:
    path, manifest = letterboxed
    return Engine.load(path, manifest, "auto", "fp32")


@pytest.mark.parametrize("name", NAMES)
def test_fp32_agrees_with_darknet_as_recorded(engine: Engine, detect: Detect, name: str) -> None:
    assert_agree(detect(name, engine), found(RECORD["pictures"][name], name), confidence=0.002, pixels=1.0)


@pytest.mark.skipif(not LIBRARY.is_file(), reason="the original darknet (Debian's package darknet) is not installed")
def test_fp32_agrees_with_darknet_itself(engine: Engine, detect: Detect, weights: Path, cfg: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "record_darknet.py"), str(cfg), str(weights)],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},  # the library is linked with a window toolkit
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    live = json.loads(done.stdout)
    assert live["weights_sha256"] == RECORD["weights_sha256"]
    for name in NAMES:
        assert_agree(detect(name, engine), found(live["pictures"][name], name), confidence=0.002, pixels=1.0)
        assert_agree(
            found(live["pictures"][name], name), found(RECORD["pictures"][name], name), confidence=1e-4, pixels=0.05
        )

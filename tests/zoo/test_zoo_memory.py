"""A network of 248 MB is converted and installed within the memory and time that are promised: 1.2 GB and 20 s."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.topologies import TOPOLOGIES

SIZE = 248_007_048
"""Of the published yolov3.weights, bytes."""

SCRIPT = """
import sys
from pathlib import Path
from shared.manifest import Origin, Traits
from zoo import darknet, repository

cfg, weights, models = map(Path, sys.argv[1:])
made = darknet.convert(cfg.read_text(), weights)
labels = tuple(map(str, range(made.classes)))
traits = Traits(labels=labels, frame=made.frame, origin=Origin(source="a test", licence="none"))
repository.install(models, "yolov3", made.model, traits)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say how much memory was used")
def test_yolov3_stays_within_its_bounds(tmp_path: Path) -> None:
    cfg, weights, models = tmp_path / "yolov3.cfg", tmp_path / "yolov3.weights", tmp_path / "models"
    cfg.write_text(TOPOLOGIES["yolov3"]())
    with weights.open("wb") as file:
        file.write(struct.pack("<3iq", 0, 2, 0, 0))
        file.truncate(SIZE)  # all values are 0, and take no room on the disk
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(cfg), str(weights), str(models)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    took = time.monotonic() - begun
    model = models / "yolov3" / "1" / "model.onnx"
    try:
        assert model.stat().st_size > SIZE * 0.99
        assert int(done.stdout) < 1_200_000_000
        assert took < 20
    finally:
        model.unlink()  # pytest keeps the folders of three runs

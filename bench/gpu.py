"""YOLOv3-416 on one NVIDIA GPU: the session alone, the bare loop, and workers from JPEG bytes in the store to results.

    python -m bench.gpu --models-dir FOLDER [--weights yolov3.weights] [--provider cuda] [--workers 4]

`bench/gpu.sh` prepares a machine without a network and runs this. Without a weights file the values are random: rates
are the same, detections there are none. The service's clock runs while workers empty a queue that was filled before
they were started, so that no load generator takes part. The last line is one JSON document.

No GPU has run this yet (decision 13); with `--provider cpu` or `openvino` and a small `--topology` it runs anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.arguments import parser, result, say
from bench.bare import Bare, bare_run
from bench.bulk import BOUNDARY, forms, post
from bench.closedloop import LoadError
from bench.front import Front
from shared import manifest
from shared.manifest import Agreement, Manifest
from worker import hardware
from worker.frame import Frames
from zoo import repository
from zoo.intake import DarknetFiles, Wishes, import_darknet
from zoo.precision.make import make

VALUES = {"yolov3": 62_001_757, "yolov3-tiny": 8_858_734}
"""Floats of a topology's weights file."""
CLASSES = 80
STORE_BYTES = 8 << 30
LIMIT_S = 240.0
POLL_S = 0.02


def random_weights(topology: str, path: Path, seed: int = 0) -> None:
    """A weights file in darknet's format whose network stays finite: small positive numbers, whatever reads them."""
    values = np.random.default_rng(seed).uniform(0.5e-3, 1.5e-3, VALUES[topology]).astype("<f4")
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 0, 0) + values.tobytes())


def prepared(models: Path, topology: str, weights: Path | None) -> Manifest:
    """The model with its fp16 variant, made unless it is there. Its threshold keeps random boxes out of the results."""
    if manifest.versions(models, topology):
        return manifest.read(models, topology)[0]
    with tempfile.TemporaryDirectory() as folder:
        if weights is None:
            weights = Path(folder) / "random.weights"
            random_weights(topology, weights)
        labels = Path(folder) / "some.names"
        labels.write_text("".join(f"class {number}\n" for number in range(CLASSES)))
        files = DarknetFiles(weights, topology=topology)
        base = import_darknet(models, topology, files, Wishes(names=labels, threshold=0.9))
        half = Path(folder) / "model.fp16.onnx"
        make("fp16", models / base.name / base.version / "model.onnx", half)
        unknown = Agreement(pictures=1, detections=0, matched=0, confidence_drift=0)
        return repository.install_variant(models, base, "fp16", half, unknown)


def session_rate(bare: Bare, frames: Frames, seconds: float) -> float:
    """Pictures per second of the loaded model alone: full batches, as many in flight as the plan has."""
    plan, done = bare.engine.plan, list[int]()
    together = threading.Barrier(plan.lanes)

    def lane(_: int) -> None:
        together.wait(60)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            bare.engine.run_in_lane(frames)
            done.append(len(frames))

    start = time.perf_counter()
    with ThreadPoolExecutor(plan.lanes) as pool:
        list(pool.map(lane, range(plan.lanes)))
    return sum(done) / (time.perf_counter() - start)


def finished(port: int, jobs: list[str]) -> int:
    """Pictures of the jobs that succeeded so far. Raises LoadError: one failed."""
    total = 0
    for job in jobs:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs/{job}", timeout=30) as answer:
            counts = json.load(answer)["counts"]
        if counts["failed"]:
            raise LoadError(f"pictures failed: {counts}")
        total += counts["succeeded"]
    return total


def service_rate(asked: argparse.Namespace, workers: int) -> float:
    """Pictures per second of so many workers, from the first finished pictures that are seen to the last."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Front(Path(folder), asked.models_dir, asked.precision, maxmemory_bytes=STORE_BYTES,
              default_model=asked.topology, provider=asked.provider) as front,
    ):  # fmt: skip
        front.end_worker(front.start_worker()[0])  # so that the API knows the model
        made = forms(asked.image.read_bytes(), asked.pictures)
        jobs = [post(front.port, body, f"multipart/form-data; boundary={BOUNDARY}") for body in made]
        running = [front.start_worker()[0] for _ in range(workers)]
        limit = time.monotonic() + LIMIT_S
        first: tuple[float, int] | None = None
        while (done := finished(front.port, jobs)) < asked.pictures:
            now = time.monotonic()
            if now > limit:
                raise LoadError(f"{done} of {asked.pictures} pictures in {LIMIT_S:.0f} s")
            first = first or ((now, done) if done else None)
            time.sleep(POLL_S)
        took = time.monotonic() - first[0] if first else 0.0
        for worker in running:
            front.end_worker(worker)
    if first is None or took < 10 * POLL_S:
        raise LoadError(f"{asked.pictures} pictures are too few to be timed")
    return float((asked.pictures - first[1]) / took)


def device() -> dict[str, Any]:
    """Name, memory and driver of the first GPU, as nvidia-smi has them; empty without one."""
    ask = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    name, memory, driver = (part.strip() for part in said.splitlines()[0].split(","))
    return {"gpu": name, "gpu_memory": memory, "driver": driver}


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All rates of one provider and precision."""
    made = prepared(asked.models_dir, asked.topology, asked.weights)
    say(f"{made.name}@{made.version} is there")
    bare = Bare(asked.models_dir, asked.topology, asked.precision, asked.provider)
    frame, _ = bare.prepare(asked.image.read_bytes())
    alone = {size: session_rate(bare, np.repeat(frame[None], size, axis=0), asked.seconds)
             for size in bare.engine.plan.sizes}  # fmt: skip
    plan, session = bare.engine.plan, (bare.engine.provider, bare.engine.precision)
    say(", ".join(f"batch {size}: {rate:.0f}/s" for size, rate in alone.items()))
    del bare  # its memory is the workers' now
    os.environ["SPOTTER_PROVIDER"] = asked.provider
    loop = bare_run(asked.image, asked.pictures, asked.models_dir, asked.topology, asked.precision)
    rows = []
    for workers in sorted({1, asked.workers}):
        rate = service_rate(asked, workers)
        rows.append({"workers": workers, "service pictures/s": round(rate, 1),
                     "to the session": round(rate / max(alone.values()), 3),
                     "to the bare loop": round(rate / loop.pictures_per_s, 3)})  # fmt: skip
        say(f"{workers} workers: {rate:.0f} pictures/s")
    return {"bench": "gpu", **device(), "provider": session[0], "precision": session[1], "model": asked.topology,
            "weights": "given" if asked.weights else "random", "lanes": plan.lanes, "max_batch": plan.max_batch,
            "cores": hardware.cores(), "session pictures/s by batch": {str(k): round(v, 1) for k, v in alone.items()},
            "bare loop pictures/s": round(loop.pictures_per_s, 1), "versions": machine.facts()["versions"],
            "rows": rows}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--topology", default="yolov3", choices=sorted(VALUES))
    line.add_argument("--weights", type=Path, default=None)
    line.add_argument("--provider", default="cuda")
    line.add_argument("--pictures", type=int, default=5000)
    line.add_argument("--workers", type=int, default=4, help="processes in the second round of the service")
    line.add_argument("--seconds", type=float, default=3.0, help="of each batch size of the session")
    line.set_defaults(precision="fp16")
    asked = line.parse_args()
    if asked.provider in ("cuda", "tensorrt") and hardware.cuda_devices() == 0:
        sys.exit("There is no NVIDIA GPU here: the driver lists no CUDA device.")
    result(measure(asked))


if __name__ == "__main__":
    main()

"""The bare loop: decode, fit, model run and selection by the worker's own code, in one process, without any service.

What a service is measured against. Pipelined over as many threads as the worker has, so that it too fills the cores
and forms batches.

    python -m bench.bare --image FILE --pictures 400 [--precision bf16]             # prints one JSON document
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from bench.processes import resident_mb
from shared import manifest
from shared.schema import Options
from shared.settings import load
from worker import hardware
from worker.engine import Engine
from worker.frame import Frames, Placement, enough_for, fit_to
from worker.image import Decoder
from worker.loading import batcher as worker_batcher
from worker.plan import Asked, concurrency
from worker.select import select

WARM_UP = 40
"""Pictures before the clock starts."""
LIMIT_S = 600.0


class Bare:
    """A loaded, warmed model of the repository, and the steps of a picture around it.

    Args:
        lanes: model runs side by side, in the pipelined loop; 0: as many as a worker would choose.
    """

    def __init__(self, models: Path, model: str, precision: str, provider: str = "auto", lanes: int = 0) -> None:
        settings = load()
        cv2.setNumThreads(1)  # as worker.main
        self.described, path = manifest.read(models, model)
        asked = Asked(settings.infer_threads, lanes or settings.lanes, settings.max_batch, settings.device_id)
        self.engine = Engine.load(path, self.described, provider, precision, asked)
        gpu = self.engine.plan.gpu
        self.threads = concurrency(settings.concurrency, hardware.cores(), gpu)
        self.engine.warm_up(self.engine.plan.max_batch)
        self._decoder = Decoder(settings.max_image_pixels, settings.decode_memory_bytes)
        self._at_least = enough_for(self.described, scaled=settings.scaled_decode)
        self._options = Options()

    def prepare(self, image: bytes) -> tuple[Frames, Placement]:
        """Encoded bytes -> the network's frame."""
        return fit_to(self.described, self._decoder.decode(image, self._at_least))

    def one(self, image: bytes) -> int:
        """One picture alone, from bytes to the number of detections; no thread but this one, no batcher, on the
        whole device.
        """
        frame, placement = self.prepare(image)
        output = self.engine.run(frame[None]).picture(0)
        return len(select(output, self._options, self.described, placement))

    def rate(self, image: bytes, pictures: int) -> float:
        """Pictures per second, pipelined."""
        batcher = worker_batcher(self.engine, capacity=self.threads)

        def one(_: int) -> int:
            frame, placement = self.prepare(image)
            inferred = batcher.submit(frame).result(60)
            return len(select(inferred.output, self._options, self.described, placement))

        try:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(one, range(WARM_UP)))
                start = time.perf_counter()
                list(pool.map(one, range(pictures)))
                return pictures / (time.perf_counter() - start)
        finally:
            batcher.close(10)


@dataclass(frozen=True)
class BareRun:
    """One bare loop in a process of its own.

    Attributes:
        pictures_per_s: of the loop.
        session_mb: resident memory once the model is loaded and warm, MB.
        loop_mb: the same after the loop.
        lanes: model runs side by side.
        max_batch: pictures in one model run, at most.
    """

    pictures_per_s: float
    session_mb: float
    loop_mb: float
    provider: str
    precision: str
    lanes: int
    max_batch: int


def bare_run(image: Path, pictures: int, models: Path, model: str, precision: str, lanes: int = 0) -> BareRun:
    """In a process of its own: no memory, thread or compiled model of one round is there in the next."""
    command = [sys.executable, "-m", "bench.bare", "--image", str(image), "--pictures", str(pictures)]
    command += ["--models-dir", str(models), "--model", model, "--precision", precision, "--lanes", str(lanes)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if ran.returncode != 0:
        raise RuntimeError(f"the bare loop ended with {ran.returncode}: {ran.stderr[-1000:]}")
    return BareRun(**json.loads(ran.stdout))


def main() -> None:
    """The loop's own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=Path("tests/pictures/dog.jpg"))
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--model", default="yolov3-tiny")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--lanes", type=int, default=0, help="model runs side by side; 0: as a worker, 1: no lanes")
    asked = parser.parse_args()
    bare = Bare(asked.models_dir, asked.model, asked.precision, lanes=asked.lanes)
    session_mb = resident_mb()
    rate = bare.rate(asked.image.read_bytes(), asked.pictures)
    print(json.dumps({"pictures_per_s": rate, "session_mb": session_mb, "loop_mb": resident_mb(),
                      "provider": bare.engine.provider, "precision": bare.engine.precision,
                      "lanes": bare.engine.plan.lanes, "max_batch": bare.engine.plan.max_batch}))  # fmt: skip


if __name__ == "__main__":
    main()

"""What every peer's server is told, and the work that all of them do: the worker's own decode, fit, run and select.

The servers read one JSON document from the environment, because some of them import their service by name in processes
that they start themselves. `bench.peers.roster` writes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np

from shared import manifest
from shared.schema import Options
from worker.engine import Engine
from worker.frame import Frames, Placement, enough_for, fit_to
from worker.image import Decoder
from worker.output import Output
from worker.plan import Asked
from worker.select import select

VARIABLE = "PEER_SERVING"
MAX_PIXELS, DECODE_BYTES = 50_000_000, 1 << 30
"""Bounds of the decoder, as in a worker."""

Prepared: TypeAlias = tuple[Frames, Placement]
Answer: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Serving:
    """One server's orders.

    Attributes:
        port: to listen on, on 127.0.0.1.
        models_dir: the model repository.
        precision: `fp32` or `bf16`, of OpenVINO.
        way: which of the peer's documented ways; each server names its own.
        workers: processes (or replicas) that hold a model.
        threads: of one model run. `workers` times `threads` is the number of cores.
        max_batch: pictures in one run.
        wait_ms: how long the peer waits for a batch to fill.
        side_by_side: pictures that one process prepares at once.
    """

    port: int
    models_dir: str
    precision: str
    way: str
    workers: int
    threads: int
    max_batch: int
    wait_ms: float
    side_by_side: int

    @property
    def models_path(self) -> Path:
        """The model repository."""
        return Path(self.models_dir)

    def to_environment(self) -> dict[str, str]:
        """What `from_environment` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Serving:
        """In a server's process. Raises KeyError outside of one."""
        return cls(**json.loads(os.environ[VARIABLE]))


class Detector:
    """Decode, fit, run, select: the steps of `worker.detect`, for servers with a queue and batches of their own."""

    def __init__(self, serving: Serving) -> None:
        cv2.setNumThreads(1)  # as in a worker: pictures are prepared side by side already
        self._manifest, path = manifest.read(serving.models_path, "yolov3-tiny")
        self._engine = Engine.load(
            path, self._manifest, provider="openvino", precision=serving.precision, asked=Asked(threads=serving.threads)
        )
        self._engine.warm_up(serving.max_batch)
        self._decoder, self._options = Decoder(MAX_PIXELS, DECODE_BYTES), Options()
        self._pool = ThreadPoolExecutor(serving.side_by_side)

    def prepare(self, data: bytes) -> Prepared:
        """Bytes of a picture -> the model's frame, and where the picture lies in it."""
        return fit_to(self._manifest, self._decoder.decode(data, enough_for(self._manifest)))

    def run(self, frames: Sequence[Frames]) -> Output:
        """One batch."""
        return self._engine.run(np.stack(frames))

    def answer(self, output: Output, placement: Placement) -> Answer:
        """One picture's detections."""
        found = select(output, self._options, self._manifest, placement)
        return {"detections": [one.model_dump() for one in found]}

    def finish(self, prepared: Sequence[Prepared]) -> list[Answer]:
        """Run a batch of prepared pictures and answer each."""
        output = self.run([frame for frame, _ in prepared])
        return [self.answer(output.picture(k), placement) for k, (_, placement) in enumerate(prepared)]

    def prepare_all(self, pictures: Sequence[bytes]) -> list[Prepared]:
        """A batch, prepared side by side: decoding leaves the interpreter's lock."""
        return list(self._pool.map(self.prepare, pictures))

    def detect(self, pictures: Sequence[bytes]) -> list[Answer]:
        """All of it for one batch."""
        return self.finish(self.prepare_all(pictures))

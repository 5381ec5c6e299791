"""Mosec: a Rust front end hands raw bodies to worker processes, stage by stage.

Ways: `stages` (its computer vision example: processes that decode, then one that runs batches), `single` (one stage of
whole batches, prepared side by side in each process).
"""

# mypy: disable-error-code="import-not-found,misc,no-any-unimported"
# The peer's package is installed in an environment of its own.

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import cv2
from mosec import Server, Worker

from bench.peers.serving import DECODE_BYTES, MAX_PIXELS, Answer, Detector, Prepared, Serving
from shared import manifest
from worker.frame import enough_for, fit_to
from worker.image import Decoder


class _Raw(Worker):
    """Bodies are pictures, answers compact JSON."""

    def deserialize(self, data: bytes) -> bytes:
        return bytes(data)  # it is a bytearray, whatever Mosec's types say

    def serialize(self, data: Answer) -> bytes:
        return json.dumps(data).encode()


class Prepare(_Raw):
    """First stage of `stages`: one picture at a time; no model."""

    def __init__(self) -> None:
        super().__init__()
        cv2.setNumThreads(1)
        self._model, _ = manifest.read(Serving.from_environment().models_path, "yolov3-tiny")
        self._decoder = Decoder(MAX_PIXELS, DECODE_BYTES)

    def forward(self, data: bytes) -> Prepared:
        """Bytes -> frame and placement, which Mosec pickles for the next stage."""
        return fit_to(self._model, self._decoder.decode(data, enough_for(self._model)))


class Finish(_Raw):
    """Second stage of `stages`: one batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._detector = Detector(Serving.from_environment())

    def forward(self, data: Sequence[Prepared]) -> list[Answer]:
        """One answer for each picture."""
        return self._detector.finish(data)


class Whole(_Raw):
    """The only stage of `single`."""

    def __init__(self) -> None:
        super().__init__()
        self._detector = Detector(Serving.from_environment())

    def forward(self, data: Sequence[bytes]) -> list[Answer]:
        """One answer for each picture."""
        return self._detector.detect(data)


def main() -> None:
    """The server's process. Mosec reads its own options from the command line."""
    serving = Serving.from_environment()
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", str(serving.port), "--timeout", "60000",
                    "--log-level", "warning"]  # fmt: skip
    server = Server()
    wait = round(serving.wait_ms)
    if serving.way == "stages":
        server.append_worker(Prepare, num=serving.side_by_side)
        server.append_worker(Finish, num=serving.workers, max_batch_size=serving.max_batch, max_wait_time=wait)
    else:
        server.append_worker(Whole, num=serving.workers, max_batch_size=serving.max_batch, max_wait_time=wait)
    server.run()


if __name__ == "__main__":
    main()

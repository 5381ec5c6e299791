"""A worker that answers by itself, for clients that wait for their answer in the same call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from shared.schema import Claim, ImageSize, PictureResult
from shared.store import JobStore
from tests.api.conftest import Worker
from tests.shared.store_samples import good

DRAWN = b"\xff\xd8\xff drawn"
Answer = Callable[[Claim], PictureResult]


class BusyWorker:
    """Answers every picture until stopped, with `answer` and, where asked to draw, `DRAWN`; `seen`: the claims."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._ended = worker, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.model = "m"
        self.seen: list[Claim] = []
        self.answer: Answer = lambda held: good(held.index).model_copy(update={"image": ImageSize(width=8, height=8)})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._ended.wait(0.005):
            for held in self._worker.take(16, self.model) + self._worker.take(16, f"{self.model}@1"):
                self.seen.append(held)
                if held.job.options.draw:
                    self._worker.draw(held, DRAWN)
                self._worker.finish(held, self.answer(held))


@pytest.fixture
def busy(worker: Worker, store: JobStore) -> Iterator[BusyWorker]:
    """A worker of the model `m`, at work."""
    worker.announce("m")
    running = BusyWorker(worker)
    running.start()
    yield running
    running.stop()

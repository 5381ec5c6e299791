"""Frames of many threads -> batches for one device -> each picture's own output.

One thread owns the device. It is work-conserving: it never waits for a batch to fill while the device is idle; a batch
is what arrived during the last run. Knows neither ONNX Runtime nor what outputs mean.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.errors import InferenceFailed, Overloaded
from worker.output import Output

log = logging.getLogger(__name__)

Frames: TypeAlias = NDArray[np.uint8 | np.float32]


class Run(Protocol):
    """A device: `worker.engine.Engine.run`, or a test's fake."""

    def __call__(self, frames: Frames, /) -> Output:
        """Frames (N, H, W, 3) -> outputs of N pictures. Called from one thread only."""
        ...


@dataclass(frozen=True)
class Inferred:
    """One picture's outcome.

    Attributes:
        output: this picture's arrays, without a batch axis.
        batch_size: pictures in the run that it was part of.
        wait_ms: from `submit` to the start of that run.
        infer_ms: duration of that run.
    """

    output: Output
    batch_size: int
    wait_ms: float
    infer_ms: float


@dataclass(frozen=True)
class _Waiting:
    frame: Frames
    future: Future[Inferred] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Owns the device thread from construction to `close`.

    Args:
        run: called with up to `max_batch` frames at a time, from one thread.
        max_batch: frames in one run, at most.
        capacity: frames that may wait; `submit` refuses more at once, since its callers are a bounded pool that
            waits for results anyway.
    """

    def __init__(self, run: Run, max_batch: int, capacity: int) -> None:
        if max_batch < 1 or capacity < 1:
            raise ValueError("max_batch and capacity must be at least 1")
        self._run = run
        self._max_batch = max_batch
        self._capacity = capacity
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._busy_since: float | None = None
        self._progress_ms = _epoch_ms()
        self._failed_in_a_row = 0
        self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, frame: Frames) -> Future[Inferred]:
        """Queue one frame (H, W, 3). A future that is cancelled before its run starts costs no device time.

        The future fails with InferenceFailed when the run does.

        Raises:
            Overloaded: `capacity` frames wait already, or the batcher is closed; the picture may be tried again.
        """
        item = _Waiting(frame)
        with self._changed:
            if self._closed:
                raise Overloaded("The worker is shutting down.")
            if len(self._waiting) >= self._capacity:
                raise Overloaded(f"{self._capacity} pictures wait for the device already.")
            self._waiting.append(item)
            self._changed.notify_all()
        return item.future

    def close(self, timeout_s: float = 30.0) -> bool:
        """Refuse new frames, finish those that wait, and end the thread. False where the device did not finish in time;
        then every frame still waiting has failed with InferenceFailed.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        with self._changed:
            left = [item for item in self._waiting if item.future.set_running_or_notify_cancel()]
            self._waiting.clear()
        for item in left:
            item.future.set_exception(InferenceFailed("The worker stopped before this picture's turn."))
        return False

    @property
    def waiting(self) -> int:
        """Frames that no run has taken yet."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """For how long the present run has been going on, seconds; 0 when the device is idle. For a watchdog."""
        since = self._busy_since
        return 0.0 if since is None else time.perf_counter() - since

    @property
    def progress_ms(self) -> int:
        """Epoch ms of the last end of a run, good or bad; at first, of the construction."""
        return self._progress_ms

    @property
    def failed_in_a_row(self) -> int:
        """Runs that failed since the last good one. A device that fails every run is lost: a watchdog's matter too."""
        return self._failed_in_a_row

    def _serve(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Waiting]:
        """The next batch, without frames that nobody waits for any more; empty when closed and drained."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                batch: list[_Waiting] = []
                while self._waiting and len(batch) < self._max_batch:
                    item = self._waiting.popleft()
                    if item.future.set_running_or_notify_cancel():
                        batch.append(item)
                if batch or self._closed:
                    return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            results = self._infer(batch)
        except InferenceFailed as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            log.warning("a batch of %d failed; trying its pictures one by one", len(batch), exc_info=error)
            for item in batch:
                self._answer([item])
            return
        for item, result in zip(batch, results, strict=True):
            item.future.set_result(result)

    def _infer(self, batch: list[_Waiting]) -> list[Inferred]:
        start = time.perf_counter()
        self._busy_since = start
        try:
            frames = batch[0].frame[None] if len(batch) == 1 else np.stack([item.frame for item in batch])
            output = self._run(frames)
            if len(output) != len(batch):
                raise InferenceFailed(f"The model answered {len(output)} pictures where {len(batch)} were asked.")
            took_ms = (time.perf_counter() - start) * 1000
            self._failed_in_a_row = 0
            return [
                Inferred(output.picture(k), len(batch), (start - item.since) * 1000, took_ms)
                for k, item in enumerate(batch)
            ]
        except InferenceFailed:
            self._failed_in_a_row += 1
            raise
        except Exception as error:  # whatever a device throws fails its pictures, never the thread
            self._failed_in_a_row += 1
            raise InferenceFailed from error
        finally:
            self._busy_since = None
            self._progress_ms = _epoch_ms()


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000

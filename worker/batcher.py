"""Frames of many threads -> batches for one device -> each picture's own output.

A device runs batches in lanes, each with its share of the device; a frame that is alone may have the whole of it.
Work-conserving: a free lane never waits for a batch to fill; a batch is its share of what arrived meanwhile. Knows
neither ONNX Runtime nor what outputs mean.
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
        """Frames (N, H, W, 3) -> outputs of N pictures."""
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
    """Owns the device's threads, one for each lane, from construction to `close`.

    Args:
        run: called with up to `max_batch` frames at a time, from as many threads at once as there are lanes.
        max_batch: frames in one run, at most.
        capacity: frames that may wait; `submit` refuses more at once, since its callers are a bounded pool that
            waits for results anyway.
        lanes: runs that may go on side by side. A free lane takes its share of the waiting frames.
        alone: a run on the whole device, for a frame that finds it idle and has no company; no lane starts meanwhile.
        divided: lanes are parts of the device, and share out what waits; else each run has all of it, and takes all.
    """

    def __init__(
        self, run: Run, max_batch: int, capacity: int, lanes: int = 1, alone: Run | None = None, *, divided: bool = True
    ) -> None:
        if max_batch < 1 or capacity < 1 or lanes < 1:
            raise ValueError("max_batch, capacity and lanes must be at least 1")
        self._run, self._alone = run, alone
        self._max_batch, self._capacity = max_batch, capacity
        self._shares = lanes if divided else 1
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._whole = False
        self._busy_since: dict[int, float] = {}
        self._progress_ms = _epoch_ms()
        self._failed_in_a_row = 0
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name=f"batcher-{lane}", daemon=True)
            for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

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
            self._changed.notify()
        return item.future

    def close(self, timeout_s: float = 30.0) -> bool:
        """Refuse new frames, finish those that wait, and end the threads. False where the device did not finish in
        time; then every frame still waiting has failed with InferenceFailed.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not self.alive:
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
    def alive(self) -> bool:
        """Whether a lane's thread is there still; False after a `close` that answered True."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def busy_s(self) -> float:
        """For how long the longest of the present runs has been going on, seconds; 0 when the device is idle. For a
        watchdog.
        """
        since = min(self._busy_since.copy().values(), default=None)
        return 0.0 if since is None else time.perf_counter() - since

    @property
    def progress_ms(self) -> int:
        """Epoch ms of the last end of a run in any lane, good or bad; at first, of the construction."""
        return self._progress_ms

    @property
    def failed_in_a_row(self) -> int:
        """Runs that failed since the last good one. A device that fails every run is lost: a watchdog's matter too."""
        return self._failed_in_a_row

    def _serve(self, lane: int) -> None:
        while True:
            run, batch = self._next()
            if not batch:
                return
            try:
                self._answer(lane, run, batch)
            finally:
                self._leave()

    def _next(self) -> tuple[Run, list[_Waiting]]:
        """The next batch, without frames that nobody waits for any more, and what runs it; empty when closed and
        drained.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: not self._whole and (self._waiting or self._closed))
                share = min(self._max_batch, -(-len(self._waiting) // self._shares))
                batch: list[_Waiting] = []
                while self._waiting and len(batch) < share:
                    item = self._waiting.popleft()
                    if item.future.set_running_or_notify_cancel():
                        batch.append(item)
                if batch:
                    return self._enter(batch), batch
                if self._closed and not self._waiting:
                    return self._run, []

    def _enter(self, batch: list[_Waiting]) -> Run:
        """How to run it, under the lock. What is left goes to another lane that has nothing to do."""
        self._whole = not self._running and len(batch) == 1 and not self._waiting and self._alone is not None
        self._running += 1
        if self._waiting:
            self._changed.notify()
        return self._alone if self._whole and self._alone else self._run

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            self._whole = False
            if self._closed:
                self._changed.notify_all()

    def _answer(self, lane: int, run: Run, batch: list[_Waiting]) -> None:
        try:
            results = self._infer(lane, run, batch)
        except InferenceFailed as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            log.warning("a batch of %d failed; trying its pictures one by one", len(batch), exc_info=error)
            for item in batch:
                self._answer(lane, run, [item])
            return
        for item, result in zip(batch, results, strict=True):
            item.future.set_result(result)

    def _infer(self, lane: int, run: Run, batch: list[_Waiting]) -> list[Inferred]:
        start = self._busy_since[lane] = time.perf_counter()
        good = False
        try:
            frames = batch[0].frame[None] if len(batch) == 1 else np.stack([item.frame for item in batch])
            output = run(frames)
            if len(output) != len(batch):
                raise InferenceFailed(f"The model answered {len(output)} pictures where {len(batch)} were asked.")
            good, took_ms = True, (time.perf_counter() - start) * 1000
            return [
                Inferred(output.picture(k), len(batch), (start - item.since) * 1000, took_ms)
                for k, item in enumerate(batch)
            ]
        except InferenceFailed:
            raise
        except Exception as error:  # whatever a device throws fails its pictures, never the thread
            raise InferenceFailed from error
        finally:
            with self._changed:
                del self._busy_since[lane]
                self._progress_ms = _epoch_ms()
                self._failed_in_a_row = 0 if good else self._failed_in_a_row + 1


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000

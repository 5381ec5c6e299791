"""A device for a batcher that a test holds and lets go; each picture's score is the value of its frame."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from worker.batcher import Frames
from worker.output import Output

WAIT_S = 10.0


def frame(value: int) -> Frames:
    return np.full((2, 2, 3), value, np.uint8)


def answer(frames: Frames) -> Output:
    """Each picture's score is its frame's value."""
    values = frames[:, 0, 0, 0].astype(np.float32)
    return Output(np.zeros((len(frames), 1, 4), np.float32), values.reshape(-1, 1, 1))


class Device:
    """A device whose every run waits for `go` (once for all after `open`), and that notes its batches."""

    def __init__(self, reply: Callable[[Frames], Output] = answer) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.started = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._open = threading.Event()
        self._reply = reply

    def __call__(self, frames: Frames, /) -> Output:
        self.batches.append(frames[:, 0, 0, 0].tolist())
        self.threads.add(threading.get_ident())
        self.started.release()
        if not self._open.is_set():
            assert self._go.acquire(timeout=WAIT_S)
        return self._reply(frames)

    def open(self) -> None:
        self._open.set()
        self._go.release(100)  # for every lane that waits already

    def step(self) -> None:
        self._go.release()


def refuses_13(frames: Frames) -> Output:
    if (frames == 13).any():
        raise RuntimeError("the device chokes")
    return answer(frames)

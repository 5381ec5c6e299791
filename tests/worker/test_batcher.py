"""The batcher against a fake device that the test holds and lets go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest

from shared.errors import InferenceFailed, Overloaded
from tests.worker.fake_device import WAIT_S, Device, answer, frame, refuses_13
from worker.batcher import Batcher, Frames
from worker.output import Output


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher]:
    made = Batcher(device, max_batch=4, capacity=100)
    yield made
    device.open()
    assert made.close(WAIT_S)


def busy(batcher: Batcher, device: Device) -> None:
    """Get the device to hold a first frame, so that the next ones pile up."""
    batcher.submit(frame(0))
    assert device.started.acquire(timeout=WAIT_S)


def test_an_idle_device_starts_at_once_with_one_frame(batcher: Batcher, device: Device) -> None:
    device.open()
    inferred = batcher.submit(frame(7)).result(WAIT_S)
    assert inferred.output.scores.tolist() == [[7]]
    assert inferred.output.boxes.shape == (1, 4)
    assert inferred.batch_size == 1
    assert inferred.wait_ms >= 0
    assert inferred.infer_ms >= 0


def test_a_batch_is_what_arrived_during_the_last_run(batcher: Batcher, device: Device) -> None:
    busy(batcher, device)
    futures = [batcher.submit(frame(value)) for value in range(1, 8)]
    assert batcher.waiting == 7
    device.open()
    results = [future.result(WAIT_S) for future in futures]
    assert device.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    assert [result.batch_size for result in results] == [4, 4, 4, 4, 3, 3, 3]
    assert [result.output.scores.item() for result in results] == [1, 2, 3, 4, 5, 6, 7]


def test_every_frame_of_many_threads_gets_its_own_answer(batcher: Batcher, device: Device) -> None:
    device.open()
    wrong: list[int] = []

    def client(first: int) -> None:
        for value in range(first, first + 30):
            if batcher.submit(frame(value)).result(WAIT_S).output.scores.item() != value:
                wrong.append(value)

    threads = [threading.Thread(target=client, args=(first,)) for first in range(0, 240, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert wrong == []
    assert sum(len(batch) for batch in device.batches) == 240
    assert max(len(batch) for batch in device.batches) <= 4
    assert len(device.threads) == 1


def test_a_full_queue_refuses(device: Device) -> None:
    batcher = Batcher(device, max_batch=4, capacity=2)
    busy(batcher, device)
    futures = [batcher.submit(frame(value)) for value in (1, 2)]
    with pytest.raises(Overloaded, match="2 pictures wait"):
        batcher.submit(frame(3))
    device.open()
    assert [future.result(WAIT_S).output.scores.item() for future in futures] == [1, 2]
    assert batcher.close(WAIT_S)


def test_a_cancelled_frame_never_reaches_the_device(batcher: Batcher, device: Device) -> None:
    busy(batcher, device)
    gone, kept = batcher.submit(frame(1)), batcher.submit(frame(2))
    assert gone.cancel()
    device.open()
    assert kept.result(WAIT_S).batch_size == 1
    assert device.batches == [[0], [2]]
    with pytest.raises(CancelledError):
        gone.result(WAIT_S)


def test_only_cancelled_frames_make_no_batch(batcher: Batcher, device: Device) -> None:
    busy(batcher, device)
    assert batcher.submit(frame(1)).cancel()
    device.open()
    assert batcher.submit(frame(2)).result(WAIT_S).output.scores.item() == 2
    assert [value for batch in device.batches for value in batch] == [0, 2]


def test_one_bad_frame_does_not_fail_its_batch_mates() -> None:
    device = Device(refuses_13)
    batcher = Batcher(device, max_batch=4, capacity=100)
    busy(batcher, device)
    futures = {value: batcher.submit(frame(value)) for value in (1, 13, 3)}
    device.open()
    assert futures[1].result(WAIT_S).batch_size == 1
    assert futures[3].result(WAIT_S).output.scores.item() == 3
    with pytest.raises(InferenceFailed) as caught:
        futures[13].result(WAIT_S)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert device.batches == [[0], [1, 13, 3], [1], [13], [3]]
    assert batcher.failed_in_a_row == 0
    assert batcher.submit(frame(5)).result(WAIT_S).output.scores.item() == 5
    assert batcher.close(WAIT_S)


def test_a_frame_of_another_shape_fails_alone(batcher: Batcher, device: Device) -> None:
    busy(batcher, device)
    good = batcher.submit(frame(1))
    odd = batcher.submit(np.full((3, 3, 3), 2, np.uint8))
    device.open()
    assert good.result(WAIT_S).output.scores.item() == 1
    assert odd.result(WAIT_S).output.scores.item() == 2


@pytest.mark.parametrize(
    "reply",
    [
        lambda frames: answer(frames[1:]),
        lambda frames: answer(np.concatenate([frames, frames])),
        lambda frames: Output(np.zeros((2, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32)),
    ],
)
def test_a_device_that_answers_another_number_of_pictures_fails(reply: Callable[[Frames], Output]) -> None:
    device = Device(reply)
    device.open()
    batcher = Batcher(device, max_batch=4, capacity=100)
    for count in (1, 2):
        with pytest.raises(InferenceFailed, match="where 1 were asked"):
            batcher.submit(frame(1)).result(WAIT_S)
        assert batcher.failed_in_a_row == count
    assert batcher.close(WAIT_S)


def test_a_watchdog_sees_a_run_that_hangs(batcher: Batcher, device: Device) -> None:
    before = batcher.progress_ms
    assert batcher.busy_s == 0
    busy(batcher, device)
    deadline = time.monotonic() + WAIT_S
    while batcher.busy_s < 0.02:
        assert time.monotonic() < deadline
    assert batcher.progress_ms == before
    device.open()
    batcher.submit(frame(1)).result(WAIT_S)
    assert batcher.progress_ms > before


def test_close_drains_and_then_refuses(device: Device) -> None:
    batcher = Batcher(device, max_batch=4, capacity=100)
    busy(batcher, device)
    futures = [batcher.submit(frame(value)) for value in range(1, 7)]
    device.open()
    assert batcher.close(WAIT_S)
    assert [future.result(0).output.scores.item() for future in futures] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(Overloaded, match="shutting down"):
        batcher.submit(frame(9))
    assert batcher.close(WAIT_S)


def test_close_gives_up_on_a_device_that_hangs(device: Device) -> None:
    batcher = Batcher(device, max_batch=4, capacity=100)
    busy(batcher, device)
    left = batcher.submit(frame(1))
    assert not batcher.close(0.05)
    with pytest.raises(InferenceFailed, match="stopped"):
        left.result(0)
    device.open()
    assert batcher.close(WAIT_S)


@pytest.mark.parametrize(("max_batch", "capacity", "lanes"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_bounds_are_positive(max_batch: int, capacity: int, lanes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(answer, max_batch, capacity, lanes)

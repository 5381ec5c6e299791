"""A device in lanes: who runs beside whom, on what share, and what a watchdog sees of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InferenceFailed
from tests.waiting import until
from tests.worker.fake_device import WAIT_S, Device, answer, frame, refuses_13
from worker.batcher import Batcher, Frames, Inferred
from worker.output import Output


@dataclass
class Divided:
    """A device with two lanes, and a whole of its own; both note what they run."""

    lane: Device
    whole: Device
    batcher: Batcher

    def occupy(self) -> None:
        """Get both lanes to hold a frame: 1 comes first and alone, the next two while the whole device has it."""
        self.batcher.submit(frame(1))
        assert self.whole.started.acquire(timeout=WAIT_S)
        for value in (2, 3):
            self.batcher.submit(frame(value))
        self.whole.step()
        for _ in range(2):
            assert self.lane.started.acquire(timeout=WAIT_S)


@pytest.fixture
def divided() -> Iterator[Divided]:
    lane, whole = Device(), Device()
    made = Batcher(lane, max_batch=4, capacity=100, lanes=2, alone=whole)
    yield Divided(lane, whole, made)
    lane.open()
    whole.open()
    assert made.close(WAIT_S)
    assert not made.alive


def test_a_frame_alone_has_the_whole_device(divided: Divided) -> None:
    divided.whole.open()
    for value in (5, 6, 7):
        assert divided.batcher.submit(frame(value)).result(WAIT_S).output.scores.item() == value
        until(lambda: divided.batcher.busy_s == 0)
    assert divided.whole.batches[:1] == [[5]]
    assert divided.whole.batches + divided.lane.batches == [[5], [6], [7]]


def test_no_lane_starts_beside_a_whole_run_and_both_do_after_it(divided: Divided) -> None:
    divided.batcher.submit(frame(1))
    assert divided.whole.started.acquire(timeout=WAIT_S)
    later = [divided.batcher.submit(frame(value)) for value in (2, 3, 4, 5)]
    assert not divided.lane.started.acquire(timeout=0.05)
    assert divided.batcher.waiting == 4
    divided.whole.step()
    for _ in range(2):
        assert divided.lane.started.acquire(timeout=WAIT_S)
    assert divided.lane.batches == [[2, 3], [4]], "half of four, and half of two"
    assert divided.batcher.waiting == 1
    divided.lane.open()
    assert [one.result(WAIT_S).output.scores.item() for one in later] == [2, 3, 4, 5]
    assert divided.whole.batches == [[1]]


def test_a_frame_beside_a_running_lane_takes_the_other_lane(divided: Divided) -> None:
    divided.occupy()
    fourth = divided.batcher.submit(frame(4))
    assert not divided.lane.started.acquire(timeout=0.05)
    divided.lane.step()
    assert divided.lane.started.acquire(timeout=WAIT_S)
    assert divided.lane.batches == [[2], [3], [4]]
    assert divided.whole.batches == [[1]], "never while a lane runs"
    divided.lane.open()
    assert fourth.result(WAIT_S).batch_size == 1


def test_lanes_share_out_what_waits_up_to_a_whole_batch(divided: Divided) -> None:
    divided.occupy()
    futures = [divided.batcher.submit(frame(value)) for value in range(10, 22)]
    divided.lane.open()
    results = [one.result(WAIT_S) for one in futures]
    assert [one.output.scores.item() for one in results] == list(range(10, 22))
    sizes = [len(batch) for batch in divided.lane.batches[2:]]
    assert sum(sizes) + len(divided.whole.batches) - 1 == 12
    assert sizes[:2] == [4, 4], "half of twelve is more than a run takes; half of eight is one"


def test_a_company_that_was_cancelled_leaves_a_frame_alone(divided: Divided) -> None:
    divided.batcher.submit(frame(1))
    assert divided.whole.started.acquire(timeout=WAIT_S)
    gone, kept = divided.batcher.submit(frame(2)), divided.batcher.submit(frame(3))
    assert gone.cancel()
    divided.whole.open()
    assert kept.result(WAIT_S).output.scores.item() == 3
    assert divided.whole.batches == [[1], [3]]


def test_a_watchdog_sees_the_longest_run_of_all_lanes(divided: Divided) -> None:
    divided.occupy()
    until(lambda: divided.batcher.busy_s > 0.05)
    before, progress = divided.batcher.busy_s, divided.batcher.progress_ms
    divided.lane.step()
    until(lambda: divided.batcher.progress_ms > progress)
    assert divided.batcher.busy_s > before, "the other lane goes on"
    divided.lane.open()
    until(lambda: divided.batcher.busy_s == 0)


def test_failures_of_all_lanes_count_until_one_run_is_good() -> None:
    lane = Device(refuses_13)
    batcher = Batcher(lane, max_batch=1, capacity=100, lanes=2)
    failing = [batcher.submit(frame(13)) for _ in range(2)]
    for _ in range(2):
        assert lane.started.acquire(timeout=WAIT_S)
    lane.open()
    for one in failing:
        with pytest.raises(InferenceFailed):
            one.result(WAIT_S)
    assert batcher.failed_in_a_row == 2
    assert batcher.submit(frame(1)).result(WAIT_S).output.scores.item() == 1
    assert batcher.failed_in_a_row == 0
    assert batcher.close(WAIT_S)


def test_close_waits_for_a_whole_run_and_drains_every_lane(divided: Divided) -> None:
    first = divided.batcher.submit(frame(1))
    assert divided.whole.started.acquire(timeout=WAIT_S)
    futures = [divided.batcher.submit(frame(value)) for value in range(2, 12)]
    assert not divided.batcher.close(0.05)
    assert not divided.lane.batches, "closing starts no lane beside the whole run"
    divided.whole.open()
    divided.lane.open()
    assert divided.batcher.close(WAIT_S)
    assert first.result(0).output.scores.item() == 1
    for one in futures:
        with pytest.raises(InferenceFailed, match="stopped"):
            one.result(0)


@given(
    lanes=st.integers(1, 4),
    max_batch=st.integers(1, 5),
    alone=st.booleans(),
    bursts=st.lists(st.integers(1, 9), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_laws_of_any_division(lanes: int, max_batch: int, alone: bool, bursts: list[int]) -> None:
    """Every frame gets its own answer once, no run is over its bounds, and a whole run has the device for itself."""
    lock, now = threading.Lock(), {"whole": 0, "lane": 0}
    seen: list[int] = []
    broken: list[str] = []

    def device(kind: str) -> Callable[[Frames], Output]:
        def run(frames: Frames, /) -> Output:
            with lock:
                now[kind] += 1
                seen.extend(frames[:, 0, 0, 0].tolist())
                if now["lane"] > lanes or (now["whole"] and (now["lane"] or now["whole"] > 1)):
                    broken.append(f"{now}")
                if len(frames) > (1 if kind == "whole" else max_batch):
                    broken.append(f"{kind}: {len(frames)} frames")
            reply = answer(frames)
            with lock:
                now[kind] -= 1
            return reply

        return run

    batcher = Batcher(device("lane"), max_batch, 100, lanes, device("whole") if alone else None)
    first, sent = 0, list[tuple[int, Future[Inferred]]]()
    for size in bursts:
        burst = [(value, batcher.submit(frame(value))) for value in range(first, first + size)]
        first, sent = first + size, sent + burst
        assert burst[0][1].result(WAIT_S)
    assert [one.result(WAIT_S).output.scores.item() for _, one in sent] == [value for value, _ in sent]
    assert batcher.close(WAIT_S)
    assert sorted(seen) == list(range(first))
    assert broken == []


def test_batches_in_flight_on_an_undivided_device_take_all_that_waits() -> None:
    device = Device()
    batcher = Batcher(device, max_batch=4, capacity=100, lanes=2, divided=False)
    for value in (1, 2):
        batcher.submit(frame(value))
        assert device.started.acquire(timeout=WAIT_S)
    futures = [batcher.submit(frame(value)) for value in range(3, 9)]
    device.open()
    assert [one.result(WAIT_S).output.scores.item() for one in futures] == list(range(3, 9))
    assert device.batches == [[1], [2], [3, 4, 5, 6], [7, 8]]
    assert batcher.close(WAIT_S)

"""A worker that hangs ends itself: which hangs are seen, and how the process ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest

from tests.waiting import until
from worker import watchdog
from worker.watchdog import EX_SOFTWARE, FAILED_RUNS, Steps, Watchdog


@dataclass
class Device:
    busy_s: float = 0.0
    failed_in_a_row: int = 0


class Clock:
    """Stands still until it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("worker.watchdog.time.monotonic", lambda: self.now)

    def looked_at(self, dog: Watchdog, seconds: int) -> str | None:
        """Time passes, with a look each second; the first reason."""
        for _ in range(seconds):
            self.now += 1
            if reason := dog.look():
                return reason
        return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_run_that_takes_too_long(clock: Clock) -> None:
    device = Device()
    dog = Watchdog(lambda: [Device(), device], Steps(), hang_s=60)
    assert clock.looked_at(dog, 100) is None
    device.busy_s = 60
    assert clock.looked_at(dog, 1) is None
    device.busy_s = 61
    assert clock.looked_at(dog, 1) == "a model run has been going on for 61 s, where 60 s are allowed"


def test_a_device_that_fails_every_run(clock: Clock) -> None:
    device = Device()
    dog = Watchdog(lambda: [device], Steps(), hang_s=60)
    device.failed_in_a_row = FAILED_RUNS - 1
    assert clock.looked_at(dog, 1) is None
    device.failed_in_a_row = FAILED_RUNS
    assert clock.looked_at(dog, 1) == f"the device failed {FAILED_RUNS} runs in a row"


def test_a_thread_that_is_stuck_in_a_step(clock: Clock) -> None:
    steps = Steps()
    dog = Watchdog(list, steps, hang_s=60)
    with steps.taking("fetch", 10):
        assert clock.looked_at(dog, 20) is None
        assert clock.looked_at(dog, 1) == "a thread has been in fetch for 21 s, where 10 s are allowed"
    assert clock.looked_at(dog, 1) is None


def test_steps_of_threads_are_apart(clock: Clock) -> None:
    steps, ready, done = Steps(), threading.Event(), threading.Event()

    def slow() -> None:
        with steps.taking("decode", 5):
            ready.set()
            done.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    assert ready.wait(10)
    with steps.taking("fetch", 100):
        pass
    clock.now += 11
    reason = steps.stuck(0)
    assert reason is not None
    assert "decode" in reason
    done.set()
    thread.join(10)
    assert steps.stuck(0) is None


def test_a_process_that_stood_still_as_a_whole_gets_its_time_anew(clock: Clock) -> None:
    steps = Steps()
    device = Device(busy_s=1000)
    dog = Watchdog(lambda: [device], steps, hang_s=60)
    with steps.taking("fetch", 10):
        clock.now += 3600  # SIGSTOP, then SIGCONT
        assert dog.look() is None
        assert clock.looked_at(dog, 20) is None
        assert clock.looked_at(dog, 1) == "a thread has been in fetch for 3621 s, where 10 s are allowed"


def test_it_looks_by_itself_and_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "EVERY_S", 0.01)
    ended: list[str] = []
    dog = Watchdog(lambda: [Device(failed_in_a_row=99)], Steps(), hang_s=60, end=ended.append)
    dog.start()
    until(lambda: not dog._thread.is_alive())
    dog.stop()
    assert ended == ["the device failed 99 runs in a row"]


HANGING = """
import threading, time
from worker.watchdog import Steps, Watchdog
steps = Steps()
def hang_in_here():
    with steps.taking("fetch", 0.2):
        threading.Event().wait()
threading.Thread(target=hang_in_here).start()
Watchdog(list, steps, hang_s=60).start()
"""


def test_the_process_ends_with_its_stacks_on_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30)
    assert done.returncode == EX_SOFTWARE
    assert "hang_in_here" in done.stderr
    assert "the worker ends itself" in done.stderr


LOCKED = """
import ctypes
from worker import watchdog
from worker.watchdog import Steps, Watchdog
watchdog.FROZEN_S = 0.0
def hang_with_the_lock():
    ctypes.PyDLL(None).pause()
watchdog.EVERY_S = 0.1
dog = Watchdog(list, Steps(), hang_s=1)
dog.start()
while not dog.looks:
    pass
hang_with_the_lock()
"""


def test_a_hang_that_keeps_the_interpreters_lock_is_seen_too() -> None:
    done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "hang_with_the_lock" in done.stderr

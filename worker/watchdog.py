"""Ends the worker when it hangs: the supervisor starts it again, and leases bring its pictures back.

Looks at the devices' runs and at the steps that task threads are in. A thread that hangs in C cannot be ended, and
Celery's threads pool has no time limits, so the whole process goes: all stacks to stderr, then exit code 70. Where C
code hangs with the interpreter's lock, no thread of Python's can see it; then faulthandler's own thread does the same
with exit code 1.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)

EX_SOFTWARE = 70
"""sysexits.h: an internal software error."""
EVERY_S = 1.0
FROZEN_S = 5.0
"""A look that comes so much too late: the whole process stood still (SIGSTOP, a paused machine); nobody is to blame."""
LATE = 2.0
"""A step may take this many times its limit."""
FAILED_RUNS = 20
"""A device that failed this often in a row is lost."""


class Device(Protocol):
    """What is asked of a batcher."""

    @property
    def busy_s(self) -> float:
        """For how long its longest run has been going on, seconds; 0 when idle."""
        ...

    @property
    def failed_in_a_row(self) -> int:
        """Runs that failed since the last good one."""
        ...


class Steps:
    """What each task thread is doing now, and how long it may. Thread-safe: every thread writes its own entry alone."""

    def __init__(self) -> None:
        self._taken: dict[int, tuple[str, float, float]] = {}

    @contextmanager
    def taking(self, name: str, limit_s: float) -> Iterator[None]:
        """This thread takes a step, which bounds itself to `limit_s`."""
        me = threading.get_ident()
        self._taken[me] = (name, time.monotonic(), limit_s)
        try:
            yield
        finally:
            del self._taken[me]

    def stuck(self, since: float) -> str | None:
        """The first step that takes `LATE` times its limit; time before `since` (`time.monotonic()`) does not count."""
        now = time.monotonic()
        for name, begun, limit_s in list(self._taken.values()):
            if now - max(begun, since) > LATE * limit_s:
                return f"a thread has been in {name} for {now - begun:.0f} s, where {limit_s:g} s are allowed"
        return None


def end_process(reason: str) -> None:
    """Say why, show every thread, and end at once: no handler of this process can be trusted to run."""
    logger.critical("the worker ends itself", extra={"reason": reason})
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)


class Watchdog:
    """Looks every `EVERY_S`.

    Args:
        devices: those of the models that are loaded now.
        hang_s: a model run that takes longer hangs.
        end: what to do then, with the reason; `end_process` but in tests.
    """

    def __init__(
        self,
        devices: Callable[[], Sequence[Device]],
        steps: Steps,
        *,
        hang_s: float,
        end: Callable[[str], None] = end_process,
    ) -> None:
        self._devices, self._steps, self._hang_s, self._end = devices, steps, hang_s, end
        self._looked = self._since = time.monotonic()
        self.looks = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._be_watched()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stopping.set()
        self._thread.join(timeout=5)
        faulthandler.cancel_dump_traceback_later()

    def _loop(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._be_watched()
            reason, self.looks = self.look(), self.looks + 1
            if reason:
                self._end(reason)
                return

    def _be_watched(self) -> None:
        """Whoever keeps the interpreter's lock keeps this thread from calling again in time."""
        faulthandler.dump_traceback_later(self._hang_s + FROZEN_S, exit=True, file=sys.__stderr__ or 2)

    def look(self) -> str | None:
        """Why the worker should end; None while it gets on."""
        now = time.monotonic()
        if now - self._looked > EVERY_S + FROZEN_S:
            self._since = now
        self._looked = now
        for device in self._devices():
            busy_s = min(device.busy_s, now - self._since)
            if busy_s > self._hang_s:
                return f"a model run has been going on for {busy_s:.0f} s, where {self._hang_s:g} s are allowed"
            if device.failed_in_a_row >= FAILED_RUNS:
                return f"the device failed {device.failed_in_a_row} runs in a row"
        return self._steps.stuck(self._since)

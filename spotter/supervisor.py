"""Keeps a few processes running: started in order, restarted with backoff, stopped in reverse order.

What goes in: stages of `Process`. What comes out: their lines, prefixed with their names, and one sentence when it
cannot go on. Knows nothing of Spotter. One thread does everything, the one that calls `start`, `run` and `stop`, and
the processes die with that thread (see `tether.py`); `request_stop` may be called from signal handlers and threads.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from spotter.child import Child, Log, Process, how_it_ended
from spotter.errors import StackError

EX_CONFIG = 78  # sysexits.h: the process cannot work as it is set up, so another start would end in the same way
TICK_S = 0.1
ONE_REQUEST_S = 0.5  # timeout(1) signals its child and then the group: the child hears twice of one request
QUOTE_CHARACTERS = 400


@dataclass(frozen=True)
class Restarts:
    """When a process that ended is started again.

    The n-th death within `window_s` seconds is followed by a start after `first_s * 2**(n-1)` seconds, at most
    `most_s`; the `deaths`-th is the last.
    """

    first_s: float = 0.5
    most_s: float = 10.0
    deaths: int = 5
    window_s: float = 60.0

    def pause_s(self, recent_deaths: int) -> float | None:
        """Seconds before the next start, or None: give up."""
        if recent_deaths >= self.deaths:
            return None
        return float(min(self.most_s, self.first_s * 2 ** (recent_deaths - 1)))


class Supervisor:
    """Runs the stages; see the module's text. `stop` must be called, whatever happened before."""

    def __init__(self, stages: Sequence[Sequence[Process]], log: Log, restarts: Restarts = Restarts()) -> None:
        self._stages = [[Child(spec, log) for spec in stage] for stage in stages]
        self._log = log
        self._restarts = restarts
        self._selector = selectors.DefaultSelector()
        self._stop_asked: float | None = None
        self._at_once = False

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each part that runs, by name."""
        return {child.spec.name: child.pid for child in self._children() if child.pid is not None}

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stop_asked is not None

    def request_stop(self) -> None:
        """Ask for an orderly end; asked again, `ONE_REQUEST_S` or more after the first time, the parts are killed."""
        now = time.monotonic()
        if self._stop_asked is None:
            self._stop_asked = now
        elif now - self._stop_asked >= ONE_REQUEST_S:
            self._at_once = True

    def start(self) -> None:
        """Start stage after stage, each when the one before is ready. Returns early when a stop is requested.

        Raises:
            StackError: a part does not become ready, or ends too often.
        """
        for stage in self._stages:
            for child in stage:
                self._spawn(child)
            self._await_ready(stage)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Watch over the parts until a stop is requested or `until()` is true; it is asked about every 0.1 s.

        Raises:
            StackError: a part ends too often.
        """
        while not self.stop_requested and not until():
            self._step()

    def stop(self) -> bool:
        """End the stages in reverse order: SIGTERM, then SIGKILL after `stop_timeout_s` or a second request.

        Returns:
            Whether every part ended by itself in time.
        """
        orderly = True
        for stage in reversed(self._stages):
            orderly &= self._stop_stage(stage)
        self._selector.close()
        return orderly

    # -- steps --------------------------------------------------------------------------------------------------------

    def _children(self) -> Iterator[Child]:
        return (child for stage in self._stages for child in stage)

    def _spawn(self, child: Child) -> None:
        try:
            fd = child.spawn()
        except OSError as error:
            raise StackError(f"The {child.spec.name} cannot be started: {error.strerror}.") from None
        self._selector.register(fd, selectors.EVENT_READ, child)

    def _await_ready(self, stage: list[Child]) -> None:
        began = asked = time.monotonic()
        waiting = [child for child in stage if child.spec.ready]
        while waiting and not self.stop_requested:
            self._step()
            now = time.monotonic()
            if now - asked < TICK_S:  # lines end a step early, and the question itself may cause a line
                continue
            asked = now
            waiting = [child for child in waiting if not (child.alive and child.spec.ready and child.spec.ready())]
            for child in waiting:
                if now - began > child.spec.ready_timeout_s:
                    said = _quoted(child.last_line)
                    limit = f"{child.spec.ready_timeout_s:g} s"
                    raise StackError(f"The {child.spec.name} did not become ready within {limit}{said}.")

    def _step(self) -> None:
        """Wait a tick at most, pass lines on, and see to the parts that ended."""
        for child, code in self._listen():
            self._died(child, code)
        now = time.monotonic()
        for child in self._children():
            if child.due is not None and child.due <= now:
                self._spawn(child)

    def _listen(self) -> list[tuple[Child, int]]:
        for key, _ in self._selector.select(TICK_S):
            if not key.data.pump():
                self._selector.unregister(key.fileobj)
        ended = []
        for child in self._children():
            fd = child.output
            code = child.reap()
            if code is not None:
                ended.append((child, code))
                if fd is not None and fd in self._selector.get_map():
                    self._selector.unregister(fd)
        return ended

    def _died(self, child: Child, code: int) -> None:
        name, how, said = child.spec.name, how_it_ended(code), _quoted(child.last_line)
        if code == EX_CONFIG:
            raise StackError(f"The {name} cannot start: {child.last_line or how}")
        now = time.monotonic()
        child.deaths.append(now)
        recent = sum(now - death <= self._restarts.window_s for death in child.deaths)
        pause_s = self._restarts.pause_s(recent)
        if pause_s is None:
            window = f"{self._restarts.window_s:g} s"
            raise StackError(f"The {name} ended {recent} times within {window}, the last time it {how}{said}.")
        self._log("stack", f"{name} {how}; it is started again in {pause_s:g} s")
        child.due = now + pause_s

    def _stop_stage(self, stage: list[Child]) -> bool:
        for child in stage:
            child.due = None
            child.signal(signal.SIGTERM)
        began, killed = time.monotonic(), set[str]()
        while alive := [child for child in stage if child.alive]:
            for child in alive:
                late = time.monotonic() - began > child.spec.stop_timeout_s
                if (late or self._at_once) and child.spec.name not in killed:
                    self._log("stack", f"{child.spec.name} is killed" + (": it did not end in time" if late else ""))
                    child.signal(signal.SIGKILL)
                    killed.add(child.spec.name)
            self._listen()
        return not killed


def _quoted(line: str) -> str:
    return f" (its last line: {line[:QUOTE_CHARACTERS]})" if line else ""


@contextmanager
def stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP ask the supervisor to stop while this is entered. Only for the main thread."""

    def ask(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

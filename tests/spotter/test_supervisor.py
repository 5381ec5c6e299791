"""The supervisor with real small processes: they start, restart, are given up, drain in order, and die with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotter.child import Process, how_it_ended
from spotter.errors import StackError
from spotter.supervisor import ONE_REQUEST_S, Restarts, Supervisor

QUICK = Restarts(first_s=0.05, most_s=0.2, deaths=3, window_s=30)
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


class Lines:
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.all.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for who, line in self.all if who == name]


def python(name: str, code: str, *arguments: str, **rest: object) -> Process:
    return Process(name, (sys.executable, "-u", "-c", code, *arguments), dict(os.environ), **rest)  # type: ignore[arg-type]


def within(seconds: float, condition: Callable[[], bool]) -> Callable[[], bool]:
    """For `run(until=...)`: fails the test instead of waiting for ever."""
    deadline = time.monotonic() + seconds

    def holds() -> bool:
        assert time.monotonic() < deadline, "it did not come true in time"
        return condition()

    return holds


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def await_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        os.sched_yield()


def test_stages_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    lines = Lines()
    told = "import signal, sys, time\nsignal.signal(15, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
    mark = tmp_path / "mark"
    first = python(
        "first",
        told + "import pathlib; pathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)",
        str(mark),
        ready=mark.exists,
    )
    second = python("second", told + "print('up', flush=True)\ntime.sleep(60)", ready=lambda: bool(lines.of("second")))
    supervisor = Supervisor([[first], [second]], lines)
    try:
        supervisor.start()
        assert mark.exists()
        assert lines.of("second") == ["up"]
        assert set(supervisor.pids) == {"first", "second"}
    finally:
        orderly = supervisor.stop()
    assert orderly
    assert lines.all == [("second", "up"), ("second", "bye"), ("first", "bye")]
    assert supervisor.pids == {}


def test_a_killed_part_is_started_again() -> None:
    lines = Lines()
    supervisor = Supervisor([[python("part", SLEEP)]], lines, QUICK)
    try:
        supervisor.start()
        supervisor.run(within(10, lambda: len(lines.of("part")) == 1))
        before = supervisor.pids["part"]
        os.kill(before, signal.SIGKILL)
        supervisor.run(within(10, lambda: len(lines.of("part")) == 2))
        assert supervisor.pids["part"] != before
    finally:
        supervisor.stop()
    assert lines.of("stack")[0] == "part was killed by SIGKILL; it is started again in 0.05 s"


def test_a_part_that_keeps_ending_is_given_up_with_the_reason() -> None:
    lines = Lines()
    part = python("part", "import sys; print('no bread', file=sys.stderr); sys.exit(3)")
    supervisor = Supervisor([[part]], lines, QUICK)
    try:
        supervisor.start()
        with pytest.raises(StackError) as caught:
            supervisor.run(within(20, lambda: False))
    finally:
        supervisor.stop()
    expected = "The part ended 3 times within 30 s, the last time it ended with exit code 3 (its last line: no bread)."
    assert str(caught.value) == expected
    assert lines.of("part") == ["no bread"] * 3


def test_exit_code_78_is_never_restarted() -> None:
    lines = Lines()
    supervisor = Supervisor(
        [[python("part", "import sys; sys.stderr.write('No model here.\\n'); sys.exit(78)")]], lines
    )
    try:
        supervisor.start()
        with pytest.raises(StackError, match=r"^The part cannot start: No model here\.$"):
            supervisor.run(within(20, lambda: False))
    finally:
        supervisor.stop()
    assert lines.of("part") == ["No model here."]


def test_a_part_that_is_never_ready_stops_the_start() -> None:
    part = python("part", SLEEP, ready=lambda: False, ready_timeout_s=0.3)
    supervisor = Supervisor([[part]], Lines())
    try:
        with pytest.raises(StackError, match=r"^The part did not become ready within 0\.3 s"):
            supervisor.start()
    finally:
        supervisor.stop()


def test_readiness_is_asked_at_a_steady_pace_even_when_the_part_writes_without_end() -> None:
    asked: list[float] = []

    def ready() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 4

    part = python("part", "import time\nwhile True: print('line'); time.sleep(0.001)", ready=ready)
    supervisor = Supervisor([[part]], Lines())
    try:
        supervisor.start()
    finally:
        supervisor.stop()
    assert asked[-1] - asked[0] >= 0.3


def test_a_part_that_ignores_sigterm_is_killed_and_it_is_said() -> None:
    lines = Lines()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    supervisor = Supervisor([[python("deaf", code, stop_timeout_s=0.2)]], lines)
    supervisor.start()
    supervisor.run(within(10, lambda: bool(lines.of("deaf"))))
    assert not supervisor.stop()
    assert lines.of("stack") == ["deaf is killed: it did not end in time"]


def test_a_second_request_to_stop_kills_at_once() -> None:
    lines = Lines()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    supervisor = Supervisor([[python("deaf", code, stop_timeout_s=60)]], lines)
    supervisor.start()
    supervisor.run(within(10, lambda: bool(lines.of("deaf"))))
    supervisor.request_stop()
    time.sleep(ONE_REQUEST_S)
    supervisor.request_stop()
    began = time.monotonic()
    assert not supervisor.stop()
    assert time.monotonic() - began < 10


def test_a_signal_that_comes_twice_is_one_request() -> None:
    lines = Lines()
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (time.sleep(0.3), print('drained'), sys.exit(0)))\n"
        "print('up'); time.sleep(60)"
    )
    supervisor = Supervisor([[python("slow", code, stop_timeout_s=30)]], lines)
    supervisor.start()
    supervisor.run(within(10, lambda: bool(lines.of("slow"))))
    supervisor.request_stop()
    supervisor.request_stop()
    assert supervisor.stop()
    assert lines.of("slow") == ["up", "drained"]


def test_what_a_part_leaves_behind_in_its_group_ends_with_it() -> None:
    lines = Lines()
    code = (
        "import subprocess, sys, time\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(left.pid, flush=True)\n"
        "sys.stdin.read(); sys.exit(0)"
    )
    supervisor = Supervisor([[python("part", code)]], lines, QUICK)
    try:
        supervisor.start()
        supervisor.run(within(10, lambda: bool(lines.of("stack"))))
        await_gone(int(lines.of("part")[0]))
    finally:
        supervisor.stop()


def test_long_lines_bytes_that_are_not_utf8_and_last_words_without_an_end_are_shown() -> None:
    lines = Lines()
    code = (
        "import sys, time\nw = sys.stdout.buffer.write\nw(b'x' * 40000 + b'\\n'); w(b'\\xff\\n\\n'); w(b'end')\n"
        "sys.stdout.flush(); sys.exit(78)"
    )
    supervisor = Supervisor([[python("part", code)]], lines)
    try:
        supervisor.start()
        with pytest.raises(StackError, match="cannot start: end"):
            supervisor.run(within(20, lambda: False))
    finally:
        supervisor.stop()
    said = lines.of("part")
    assert "".join(said) == "x" * 40000 + "\N{REPLACEMENT CHARACTER}end"
    assert max(map(len, said)) < 100_000


def test_no_such_program_is_a_sentence() -> None:
    part = Process("part", ("/does/not/exist",), {})
    supervisor = Supervisor([[part]], Lines(), Restarts(deaths=1))
    try:
        supervisor.start()
        with pytest.raises(StackError, match=r"exit code 127 \(its last line: /does/not/exist cannot be run"):
            supervisor.run(within(20, lambda: False))
    finally:
        supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tie to the parent is Linux's")
def test_the_parts_die_with_a_killed_supervisor_and_do_not_share_its_group() -> None:
    code = (
        "import os, sys\n"
        "from spotter.child import Process\n"
        "from spotter.supervisor import Supervisor\n"
        f"part = Process('part', (sys.executable, '-c', {SLEEP!r}), dict(os.environ))\n"
        "supervisor = Supervisor([[part]], lambda name, line: None)\n"
        "supervisor.start()\n"
        "print(supervisor.pids['part'], flush=True)\n"
        "supervisor.run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        part = int(parent.stdout.readline())
        assert os.getsid(part) == part
        assert not gone(part)
        parent.kill()
        parent.wait(timeout=10)
    await_gone(part)


def test_how_it_ended() -> None:
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-9) == "was killed by SIGKILL"
    assert how_it_ended(-250) == "was killed by signal 250"


@given(st.integers(1, 40), st.floats(0.01, 10), st.floats(0.01, 100))
def test_pauses_never_shrink_and_never_exceed_the_most(deaths: int, first_s: float, most_s: float) -> None:
    restarts = Restarts(first_s, most_s, deaths + 1, 60)
    pauses = [restarts.pause_s(count) for count in range(1, deaths + 1)]
    assert all(pause is not None and pause <= most_s for pause in pauses)
    assert pauses == sorted(pauses)  # type: ignore[type-var]
    assert restarts.pause_s(deaths + 1) is None


def test_pauses_double() -> None:
    assert [Restarts().pause_s(count) for count in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, None]

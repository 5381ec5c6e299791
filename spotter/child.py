"""One supervised process: started, listened to, signalled, reaped. Knows nothing of restarts, order or readiness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

READ_BYTES = 65_536
LINE_BYTES = 16_384  # a longer line is shown in pieces
READS_AT_THE_END = 64  # a pipe holds less; a process that escaped its group and goes on writing must not hold us
TETHER = Path(__file__).with_name("tether.py")

Log = Callable[[str, str], None]
"""Takes a part's name and one line without its end."""


@dataclass(frozen=True)
class Process:
    """What to run and how to tell that it works.

    Attributes:
        name: one word, for the log.
        argv: program and arguments; no shell.
        env: the whole environment of the process.
        ready: True once the process does its work; must answer within about a second. None: running is enough.
        ready_timeout_s: how long `ready` may stay False after the start.
        stop_timeout_s: from SIGTERM to SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 30.0


@dataclass
class Child:
    """The life of one `Process`, over its restarts. Not for use by two threads at once.

    Attributes:
        deaths: monotonic times of unwanted ends, oldest first.
        due: monotonic time of the next start, while the process is down and wanted.
        last_line: the last line that it wrote, not empty unless it wrote nothing.
    """

    spec: Process
    log: Log
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    due: float | None = None
    last_line: str = ""
    _popen: subprocess.Popen[bytes] | None = None
    _partial: bytes = b""

    @property
    def alive(self) -> bool:
        """Whether it was started and not yet reaped."""
        return self._popen is not None

    @property
    def pid(self) -> int | None:
        """Its process id, which is its process group too."""
        return self._popen.pid if self._popen else None

    @property
    def output(self) -> int | None:
        """The fd that `spawn` returned, while it runs."""
        return self._output() if self._popen else None

    def spawn(self) -> int:
        """Start it in a session of its own (so the terminal's Ctrl-C passes it by); returns the fd of its output.

        Raises:
            OSError: the machine has no room for another process.
        """
        self.due, self.last_line, self._partial = None, "", b""
        self._popen = subprocess.Popen(  # noqa: S603 - argv is ours, no shell
            (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self.spec.argv),
            env=dict(self.spec.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        fd = self._output()
        os.set_blocking(fd, False)
        return fd

    def pump(self) -> bool:
        """Log the complete lines that have arrived, at most `READ_BYTES`. False: it has closed its output."""
        data = self._read()
        self._take(data or b"")
        return data != b""

    def reap(self) -> int | None:
        """The exit code, once, when it has ended (-N: killed by signal N); None while it runs or is down."""
        if self._popen is None:
            return None
        # Seen but not yet reaped: so its number still names its group, and what it left behind there can be ended.
        if os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.signal(signal.SIGKILL)
        for _ in range(READS_AT_THE_END):
            data = self._read()
            if not data:
                break
            self._take(data)
        self._say(self._partial)
        code = self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        self._popen, self._partial = None, b""
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group; nothing happens when it is gone."""
        if self._popen is None:
            return
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # macOS says so of a group of zombies
            return

    def _output(self) -> int:
        assert self._popen is not None
        assert self._popen.stdout is not None
        return self._popen.stdout.fileno()

    def _read(self) -> bytes | None:
        try:
            return os.read(self._output(), READ_BYTES)
        except BlockingIOError:
            return None

    def _take(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._say(line)
        while len(self._partial) > LINE_BYTES:
            self._say(self._partial[:LINE_BYTES])
            self._partial = self._partial[LINE_BYTES:]

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.last_line = text
            self.log(self.spec.name, text)


def how_it_ended(code: int) -> str:
    """`ended with exit code 3` or `was killed by SIGKILL`, from a `Popen` return code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

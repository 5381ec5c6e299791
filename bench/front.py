"""The store and one API process alone, each as the local stack would start it; workers come and go by hand.

For what `spotter up` cannot show: accepts that nobody works on, the start of a worker, the memory of one part.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

import redis

from bench import processes
from spotter.address import free_port
from spotter.child import Process
from spotter.stack import Plan, answers, stages

READY_S = 60.0


class Front:
    """`with Front(folder, models) as front:` takes jobs on 127.0.0.1:`front.port`.

    Args:
        folder: for the store's files and the log.
        precision: of the workers that `start_worker` starts.
        maxmemory_bytes: of the store.
        settings: further `SPOTTER_*`, in small letters without the prefix.
    """

    def __init__(
        self, folder: Path, models: Path, precision: str = "auto", *, maxmemory_bytes: int = 1 << 30, **settings: str
    ) -> None:
        self.port, self._log = free_port(), folder / "front.log"
        data = folder / "data"
        data.mkdir(mode=0o700)
        env = {**os.environ, "SPOTTER_PRECISION": precision, "SPOTTER_LOG_LEVEL": "WARNING", "SPOTTER_CACHE": "false"}
        env |= {f"SPOTTER_{name.upper()}": value for name, value in settings.items()}
        env.pop("SPOTTER_REDIS_URL", None)  # always a store of its own
        plan = Plan(port=self.port, data=data, models_dir=models, workers=1, maxmemory_bytes=maxmemory_bytes)
        parts = {part.name: part for stage in stages(plan, data.resolve(), self.port, env) for part in stage}
        self._store, self._api, self._worker = parts["valkey"], parts["api"], parts["worker"]
        self.store_url = self._api.env["SPOTTER_REDIS_URL"]
        self.api_pid = 0
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Front:
        try:
            assert self._store.ready is not None
            processes.await_ready(self._start(self._store), self._store.ready, self._log, READY_S)
            api = self._start(self._api)
            self.api_pid = api.pid
            processes.await_ready(api, lambda: self.answers("/healthz"), self._log, READY_S)
        except BaseException:
            self._end_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all()

    def answers(self, path: str) -> bool:
        """Whether a GET is answered with 200."""
        return answers(f"http://127.0.0.1:{self.port}", path)

    def start_worker(self) -> tuple[subprocess.Popen[bytes], float]:
        """A worker, and the seconds from its start until the API calls the service ready."""
        worker = self._start(self._worker)
        return worker, processes.await_ready(worker, lambda: self.answers("/readyz"), self._log, READY_S)

    def end_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """As a deployment ends it: SIGTERM, drain. Raises RuntimeError: it did not end by itself."""
        self._running.remove(worker)
        if code := processes.end(worker):
            raise RuntimeError(f"the worker ended with {code}:\n{self._log.read_text(errors='replace')[-2000:]}")

    def client(self) -> redis.Redis:
        """An ordinary connection to the store."""
        return redis.Redis.from_url(self.store_url, socket_timeout=30)

    def _start(self, part: Process) -> subprocess.Popen[bytes]:
        process = processes.start(part.argv, part.env, self._log)
        self._running.append(process)
        return process

    def _end_all(self) -> None:
        while self._running:  # the last started first, so that the store outlives its users
            processes.end(self._running.pop())

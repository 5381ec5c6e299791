"""A local stack for one bench: `spotter up` in a process of its own, on a free port, gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType

from bench import processes
from spotter.address import free_port
from spotter.stack import answers

READY_S = 60.0


class Stack:
    """`with Stack(folder, models, "fp32") as stack:` is ready to take jobs on 127.0.0.1:`stack.port`.

    Ready: all `workers` are there, and the default model is served.
    """

    def __init__(
        self, folder: Path, models: Path, precision: str = "auto", workers: int = 1, /, **settings: str
    ) -> None:
        self.port = free_port()
        self._log = folder / "stack.log"
        self._command = [sys.executable, "-m", "spotter", "up", "--port", str(self.port), "--data",
                         str(folder / "data"), "--models-dir", str(models), "--workers", str(workers)]  # fmt: skip
        self._env = {
            **os.environ,
            "SPOTTER_PRECISION": precision,
            "SPOTTER_LOG_LEVEL": "WARNING",
            "SPOTTER_CACHE": "false",
        }
        self._env |= {f"SPOTTER_{name.upper()}": value for name, value in settings.items()}
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stack:
        self._process = processes.start(self._command, self._env, self._log)
        try:
            processes.await_ready(self._process, self._ready, self._log, READY_S)
        except RuntimeError:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Of `spotter up` itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of `spotter up`; None while it runs."""
        assert self._process is not None
        return self._process.returncode

    def log(self) -> str:
        """Everything that the processes printed so far."""
        return self._log.read_text()

    def _ready(self) -> bool:
        base = f"http://127.0.0.1:{self.port}"
        if not answers(base, "/readyz"):
            return False
        with urllib.request.urlopen(f"{base}/readyz", timeout=5) as answer:
            return int(json.load(answer)["workers"]) >= self._workers

    def _stop(self) -> None:
        assert self._process is not None
        processes.end(self._process)

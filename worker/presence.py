"""A worker's word that it lives: every few seconds, what it serves and how far it got. Readiness rests on it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence

from shared.errors import Overloaded
from shared.observe import Stages
from shared.schema import ServedModel, WorkerReport
from shared.steps import announce, withdraw
from shared.store import JobStore
from worker.leases import Leases

logger = logging.getLogger(__name__)

EVERY_S = 5.0


class Presence:
    """Announces until stopped, then withdraws."""

    def __init__(
        self, name: str, store: JobStore, models: Sequence[ServedModel], leases: Leases, stages: Stages
    ) -> None:
        self.name = name
        self._store, self._models, self._leases, self._stages = store, tuple(models), leases, stages
        self._started_ms = int(time.time() * 1000)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="presence", daemon=True)

    def start(self) -> None:
        """Announce now and from now on; a store that is away is waited for."""
        self._thread.start()

    def stop(self) -> None:
        """Gone at once, as far as the store can be told."""
        self._stopping.set()
        self._thread.join(timeout=5)
        try:
            self._store.run(withdraw(self.name))
        except Overloaded as error:
            logger.warning("not withdrawn", extra={"error": repr(error)})

    def _loop(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            try:
                self._store.run(announce(self._report()))
                pause_s = EVERY_S
            except Overloaded as error:
                logger.warning("not announced", extra={"error": repr(error)})
                pause_s = 1.0

    def _report(self) -> WorkerReport:
        return WorkerReport(
            worker=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_ms=self._started_ms,
            progress_ms=int(self._leases.progress_at * 1000),
            busy=self._leases.busy,
            models=self._models,
            stages=self._stages.snapshot(),
        )

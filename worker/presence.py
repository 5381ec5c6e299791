"""A worker's word that it lives: every few seconds, what it serves and how far it got. Readiness rests on it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

from shared.errors import Overloaded
from shared.observe import Stages
from shared.reports import Description, WorkerReport
from shared.steps import announce, beware, withdraw
from shared.store import JobStore
from shared.views import workers
from worker.leases import Leases
from worker.models import Models

logger = logging.getLogger(__name__)

EVERY_S = 5.0
AGAIN_S = 1.0
"""After an announcement that the store did not take."""


def bury(store: JobStore) -> None:
    """Where a worker of this host died without a word: withdraw it, and warn all that a picture may have ended it.

    A store that is away is no reason not to start: then the sweeper finds out, a lease later.
    """
    try:
        for report in store.run(workers()):
            if report.host == socket.gethostname() and (report.pid == os.getpid() or not _runs(report.pid)):
                logger.warning("a worker died here", extra={"worker": report.worker})
                store.run(withdraw(report.worker))
                store.run(beware())
    except Overloaded as error:
        logger.warning("predecessors unknown", extra={"error": repr(error)})


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class Presence:
    """Announces until stopped, then withdraws."""

    def __init__(
        self, name: str, store: JobStore, models: Models, leases: Leases, stages: Stages, concurrency: int
    ) -> None:
        self.name = name
        self._concurrency = concurrency
        self._store, self._models, self._leases, self._stages = store, models, leases, stages
        self._started_ms = int(time.time() * 1000)
        self._told: dict[str, Description] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="presence", daemon=True)

    def start(self) -> None:
        """Announce now and from now on; a store that is away is waited for."""
        self._thread.start()

    def soon(self) -> None:
        """Announce now, since something changed."""
        self._wake.set()

    def stop(self) -> None:
        """Gone at once, as far as the store can be told."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=5)
        try:
            self._store.run(withdraw(self.name))
        except Overloaded as error:
            logger.warning("not withdrawn", extra={"error": repr(error)})

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause_s = EVERY_S if self._announce() else 0.0
            except Overloaded as error:
                logger.warning("not announced", extra={"error": repr(error)})
                pause_s = AGAIN_S
            self._wake.wait(pause_s)

    def _announce(self) -> bool:
        """Once. Whether the store has all descriptions; else they go along next time."""
        offer = self._models.offer()
        report = WorkerReport(
            worker=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_ms=self._started_ms,
            progress_ms=int(self._leases.progress_at * 1000),
            busy=self._leases.busy,
            concurrency=self._concurrency,
            followed=offer.followed,
            models=offer.models,
            stages=self._stages.snapshot(),
        )
        new = [one for one in offer.descriptions if self._told.get(one.reference) != one]
        lacking = self._store.run(announce(report, new))
        self._models.announced(offer.revision)
        self._told = {one.reference: one for one in offer.descriptions if one.reference not in lacking}
        return not lacking

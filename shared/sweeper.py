"""The sweeper: a thread in every API and worker process; one of them at a time does the work, under the store's lock.

It takes back what dead workers held, ends jobs past their deadline, and tops the tokens up to what waits, so a lost
message or a lost broker delays a job by one sweep at most.
"""

from __future__ import annotations

import logging
import threading

from celery import Celery
from kombu.exceptions import OperationalError

from shared.errors import Overloaded
from shared.outbox import hooks_due
from shared.queue import DELIVER_QUEUE, Waker, depth, detect_queue
from shared.steps import lock_sweep, sweep, top_up
from shared.store import JobStore
from shared.views import backlog

logger = logging.getLogger(__name__)

MOST = 1000
"""Entries of each kind that one script call handles: it holds the server for a few milliseconds."""
MISSED = 3
"""Sweeps that nobody made: then the store was out of reach, and silent workers are not to blame."""


class Sweeper:
    """Sweeps every `interval_s` while it holds the lock."""

    def __init__(
        self,
        store: JobStore,
        app: Celery,
        waker: Waker,
        *,
        holder: str,
        interval_s: float,
        lease_s: float,
        max_attempts: int,
    ) -> None:
        self._store, self._app, self._waker, self._holder = store, app, waker, holder
        self._interval_s, self._max_attempts = interval_s, max_attempts
        self._lease_s, self._patience_s = lease_s, max(MISSED * interval_s, lease_s / 3)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep that runs."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                # A little less than the interval: the holder itself comes back before the lock is gone for long.
                if self._store.run(lock_sweep(self._holder, self._interval_s * 0.9)):
                    self.sweep_once()
            except (Overloaded, OperationalError, OSError) as error:
                logger.warning("sweep put off", extra={"error": repr(error)})
            except Exception:
                # Without its sweeper a process would lose jobs silently: log loudly and go on.
                logger.exception("sweep failed")

    def sweep_once(self) -> None:
        """One whole sweep. Raises StoreUnavailable, and the broker's operational errors."""
        more = True
        while more and not self._stopping.is_set():
            swept = self._store.run(
                sweep(most=MOST, max_attempts=self._max_attempts, grace_s=self._lease_s, patience_s=self._patience_s)
            )
            if swept.requeued or swept.poisoned or swept.expired:
                logger.info(
                    "swept",
                    extra={"requeued": swept.requeued, "poisoned": swept.poisoned, "expired": swept.expired},
                )
            more = swept.more
        self._top_up()

    def _top_up(self) -> None:
        for model in self._store.run(backlog()):
            tokens = self._store.run(top_up(model, depth(self._app, detect_queue(model))))
            if tokens:
                self._waker.wake_detect(model, tokens)
        if self._store.run(hooks_due()) and depth(self._app, DELIVER_QUEUE) == 0:
            self._waker.wake_deliver()

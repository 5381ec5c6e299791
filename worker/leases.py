"""The pictures in this worker's hands: their leases are kept alive here, and what was lost is known here.

One thread beats for all. A picture whose job was canceled, ended, or taken over is `lost`: its task drops it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.errors import Overloaded
from shared.schema import Claim
from shared.steps import beat
from shared.store import JobStore

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
"""Two beats may fail before a lease runs out."""
AGAIN_S = 1.0
"""After a beat that the store did not take: when it is back, leases are short."""


class Leases:
    """Keeps leases of `lease_s` while they are held."""

    def __init__(self, store: JobStore, lease_s: float) -> None:
        self._store, self._lease_s = store, lease_s
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int, int], Claim] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)
        self.progress_at = time.time()

    @property
    def busy(self) -> int:
        """Pictures in hand."""
        return len(self._held)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is still held then runs out by itself."""
        self._stopping.set()
        self._thread.join(timeout=5)

    @contextmanager
    def holding(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Keep these alive for the time of the block."""
        with self._lock:
            self._held |= {_key(one): one for one in claims}
        try:
            yield
        finally:
            for one in claims:
                self.drop(one)

    def drop(self, one: Claim) -> None:
        """This one is finished, or somebody else's now."""
        with self._lock:
            self._held.pop(_key(one), None)
            self.progress_at = time.time()

    def lost(self, one: Claim) -> bool:
        """Whether a beat found the lease gone (or the picture was dropped)."""
        with self._lock:
            return _key(one) not in self._held

    def _loop(self) -> None:
        every_s = pause_s = self._lease_s / BEATS_PER_LEASE
        while not self._stopping.wait(pause_s):
            pause_s = every_s
            with self._lock:
                held = list(self._held.values())
            if not held:
                continue
            try:
                gone = self._store.run(beat(held, self._lease_s))
            except Overloaded as error:
                logger.warning("no heartbeat", extra={"error": repr(error), "held": len(held)})
                pause_s = min(every_s, AGAIN_S)
                continue
            for one in held:
                if (one.job.id, one.index) in gone:
                    logger.info("lease lost", extra={"job_id": one.job.id, "picture": one.index, "fence": one.fence})
                    self.drop(one)


def _key(one: Claim) -> tuple[str, int, int]:
    return one.job.id, one.index, one.fence

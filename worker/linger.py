"""A thread that has run out of pictures waits for the next one a moment, before it ends its token.

Waking a waiting thread is one element in a list of the store; a further token costs its publisher, the broker, this
process's main loop and the store ten times that. Knows the store alone.
"""

from __future__ import annotations

import threading

from shared.steps import linger
from shared.store import JobStore

LINGER_S = 0.25
"""How long one wait is. Under steady work a thread is without a picture for some milliseconds."""


class Lingering:
    """Lets threads wait, but never all of them: tokens of other queues always find one that is free.

    Args:
        threads: of this process that take tokens; with one alone nobody waits.
    """

    def __init__(self, store: JobStore, threads: int, wait_s: float = LINGER_S) -> None:
        self._store, self._wait_s = store, wait_s
        self._places = threading.Semaphore(threads - 1)

    def for_work(self, reference: str) -> bool:
        """Wait for a picture of `name` or `name@version`. True: one came, and this thread is counted as a token on its
        way. False: none came, somebody else wants the thread, or too many wait already.

        Raises:
            StoreUnavailable, StoreFull.
        """
        if not self._places.acquire(blocking=False):
            return False
        try:
            waits = self._store.run(linger(reference, self._wait_s))
            return waits and self._store.await_wake(reference, self._wait_s)
        finally:
            self._places.release()

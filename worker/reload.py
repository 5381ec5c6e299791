"""A thread that keeps the loaded models, the announcement and the consumed queues in step with the repository on disk,
and with the aliases that were set over HTTP.

The order is what makes a switch invisible: a version is consumed before it is announced, and its announcement ends
long before it is out of reach. A store that is away puts everything off.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from shared.assignments import NOTHING_ASSIGNED, Assignments, assignments
from shared.errors import Overloaded
from shared.steps import forget
from shared.store import JobStore
from shared.views import Backlog, backlog, open_jobs, stats
from worker.memory import give_back
from worker.models import Gone, Models
from worker.presence import Presence
from worker.subscriptions import Subscriptions

logger = logging.getLogger(__name__)


class Reload:
    """Looks every `every_s`.

    Args:
        close_s: seconds that an ending batcher gets for the run that it is in.
    """

    def __init__(
        self,
        models: Models,
        store: JobStore,
        subscriptions: Subscriptions,
        presence: Presence,
        *,
        every_s: float,
        close_s: float,
    ) -> None:
        self._models, self._store, self._subscriptions, self._presence = models, store, subscriptions, presence
        self._every_s, self._close_s = every_s, close_s
        self._forgotten = Gone()
        self._revision = models.offer().revision
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a load that runs is not waited for."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.once()
            except Overloaded as error:
                logger.warning("reload put off", extra={"error": repr(error)})
            except Exception:
                # Without this thread the worker would stay behind the repository silently: log loudly and go on.
                logger.exception("reload failed")

    def once(self) -> None:
        """One look at everything. Raises StoreUnavailable; what was not done then is done the next time."""
        waiting = self._store.run(backlog())
        self._models.assigned = self._store.run(assignments(self._models.assigned))
        self._models.refresh(asked(waiting), self._stopping.is_set)
        self._subscriptions.want(self._models.references)
        if self._models.leaving:
            self._let_go()
        if self._models.offer().revision != self._revision:
            self._revision = self._models.offer().revision
            self._presence.soon()
        if self._forgotten.references or self._forgotten.names:
            self._store.run(forget(self._forgotten.references, self._forgotten.names))
            self._forgotten = Gone()

    def _let_go(self) -> None:
        counters = self._store.run(stats())
        self._models.retire(open_jobs(counters))
        self._subscriptions.want(self._models.references)
        gone = self._models.close_unused(self._close_s)
        if gone.versions:
            give_back()
        for reference in gone.versions:
            name, _, version = reference.partition("@")
            logger.info("model unloaded", extra={"model": name, "version": version})
        self._forgotten = Gone((), self._forgotten.references | gone.references, self._forgotten.names | gone.names)


def assigned(store: JobStore) -> Assignments:
    """What a worker that starts follows from the beginning. While the store is away, its repository alone counts."""
    try:
        return store.run(assignments())
    except Overloaded as error:
        logger.warning("aliases set over HTTP unknown", extra={"error": repr(error)})
        return NOTHING_ASSIGNED


def asked(waiting: Mapping[str, Backlog]) -> dict[str, set[str]]:
    """The versions that pictures wait for, by name."""
    found: dict[str, set[str]] = {}
    for reference in waiting:
        name, _, version = reference.partition("@")
        if version:
            found.setdefault(name, set()).add(version)
    return found

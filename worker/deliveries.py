"""Due webhooks -> attempts, in threads of their own: detection never waits for somebody's endpoint.

The outbox lies in the store: an attempt that this process does not settle comes back after its lease. The store also
sees to it that an endpoint has few attempts in hand at once, fewer while they fail, so a dead one delays no other.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from shared.errors import Overloaded
from shared.outbox import TEST_EVENT, DueDelivery, State, due_hooks, settle_hook
from shared.schema import INLINE_RESULTS, rfc3339
from shared.signing import owner_secret
from shared.store import JobStore
from shared.views import shown, view
from worker.egress import Egress
from worker.webhooks import Outcome, deliver, next_try

logger = logging.getLogger(__name__)

THREADS = 32
SETTLE_S = 10.0
"""An attempt's lease is its timeout and this much, for what the store takes."""
IN_TROUBLE = (None, 429, 502, 503, 504)
"""No answer, or one that the specification reads as a call for patience."""
INLINE_BYTES = 20_000
"""A larger job goes out without its results; the receiver fetches them."""


class Deliveries:
    """Makes the attempts. `poke` whenever some may be due.

    Args:
        secret: the service's, see `shared/signing.py`.
        timeout_s: one attempt, whole.
        retry_s: waits before the second attempt, the third, ...
        base_url: of the links in a job; None: links are paths.
    """

    def __init__(
        self,
        store: JobStore,
        egress: Egress,
        *,
        secret: str,
        timeout_s: float,
        retry_s: Sequence[float],
        allow_http: bool,
        base_url: str | None,
    ) -> None:
        self._store, self._egress = store, egress
        self._secret, self._timeout_s, self._allow_http, self._base_url = secret, timeout_s, allow_http, base_url
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._free = THREADS
        self._stopping = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="deliver")
        self._rng = random.Random()  # noqa: S311  (jitter)

    def poke(self) -> None:
        """Take what is due, as far as threads are free, and begin it. Raises StoreUnavailable."""
        with self._lock:  # held while the store is asked, so that no thread is promised twice
            if self._stopping or not self._free:
                return
            for one in self._store.run(due_hooks(self._free, self._timeout_s + SETTLE_S)):
                self._free -= 1
                self._pool.submit(self._attempt, one)

    def stop(self) -> None:
        """Finish the attempts in flight."""
        with self._lock:
            self._stopping = True
        self._pool.shutdown(wait=True)

    def _attempt(self, one: DueDelivery) -> None:
        try:
            self._deliver(one)
        except Overloaded as error:
            logger.warning("delivery left to its lease", extra={"delivery": one.name, "error": repr(error)})
        except Exception:
            logger.exception("delivery failed", extra={"delivery": one.name})
        with self._lock:
            self._free += 1
        try:
            self.poke()
        except Overloaded as error:
            logger.warning("no deliveries taken", extra={"error": repr(error)})

    def _deliver(self, one: DueDelivery) -> None:
        data = {"id": one.name} if one.event == TEST_EVENT else self._job(one)
        if data is None:  # its retention is over: there is nothing left to tell
            lost = Outcome("failed", None, 0.0, "job_gone")
            self._store.run(settle_hook(one, log=_log_entry(lost), state="failed", next_try_s=None))
            return
        overlap = one.old_until_ms > time.time() * 1000
        outcome = deliver(
            self._egress,
            one.url,
            one.name,
            one.event,
            rfc3339(one.at_ms) or "",
            data,
            secret=owner_secret(self._secret, one.owner, one.rotations, overlap=overlap),
            timeout_s=self._timeout_s,
            allow_http=self._allow_http,
        )
        again_s = None if one.event == TEST_EVENT else next_try(one.tries + 1, outcome, self._retry_s, self._rng)
        state: State = (
            "pending" if again_s is not None else ("disabled" if outcome.status == "gone" else outcome.status)
        )
        why = _why(outcome, one.event)
        self._store.run(settle_hook(one, log=_log_entry(outcome), state=state, next_try_s=again_s, because=why))
        logger.info("webhook", extra={"delivery": one.name, "state": state, "status": outcome.http_status})

    def _job(self, one: DueDelivery) -> dict[str, object] | None:
        """What is told: the job, with its results while it is small; None when it is no longer kept."""
        (snapshot,) = self._store.run(view([one.job], inline_results=INLINE_RESULTS))
        if snapshot is None:
            return None
        data = shown(snapshot, self._base_url).model_dump(mode="json")
        if len(json.dumps(data)) > INLINE_BYTES:
            data["results"] = None
        return data


def _why(outcome: Outcome, event: str) -> Literal["gone", "trouble", "no"]:
    """What an attempt that was not taken says about its endpoint. A test disables nothing."""
    if outcome.status == "gone" and event != TEST_EVENT:
        return "gone"
    return "trouble" if outcome.http_status in IN_TROUBLE else "no"


def _log_entry(outcome: Outcome) -> str:
    entry = {
        "at": rfc3339(int(time.time() * 1000)),
        "status": outcome.http_status,
        "latency_ms": round(outcome.latency_ms, 1),
        "error": outcome.error,
    }
    return json.dumps(entry)

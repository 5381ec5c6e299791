"""Due webhooks -> attempts, in threads of their own: detection never waits for somebody's endpoint.

The outbox lies in the store: an attempt that this process does not settle comes back after its lease. Each endpoint
has a cap of attempts in flight; what is above it waits here, and a slow endpoint delays no other.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.errors import Overloaded
from shared.queue import Waker
from shared.schema import INLINE_RESULTS, rfc3339
from shared.steps import DueDelivery, due_hooks, settle_hook
from shared.store import JobStore
from shared.views import shown, view
from worker.egress import Egress
from worker.webhooks import Outcome, deliver, endpoint_of, next_try

logger = logging.getLogger(__name__)

THREADS = 16
PER_ENDPOINT = 4
WAITING = 64
"""Attempts taken from the outbox beyond those in flight."""
INLINE_BYTES = 20_000
"""A larger job goes out without its results; the receiver fetches them."""


class Deliveries:
    """Makes the attempts. `poke` whenever some may be due."""

    def __init__(
        self,
        store: JobStore,
        egress: Egress,
        waker: Waker,
        *,
        secret: str,
        timeout_s: float,
        retry_s: Sequence[float],
        allow_http: bool,
        base_url: str | None,
    ) -> None:
        self._store, self._egress, self._waker = store, egress, waker
        self._secret, self._timeout_s, self._allow_http, self._base_url = secret, timeout_s, allow_http, base_url
        self._retry_s = retry_s
        # Everything taken must be over before its lease is: the wait here, and the attempt.
        self._lease_s = 4 * timeout_s
        self._lock = threading.Lock()
        self._waiting: deque[tuple[float, DueDelivery]] = deque()
        self._in_flight: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="deliver")
        self._rng = random.Random()  # noqa: S311  (jitter)

    def poke(self) -> None:
        """Take what is due, as far as there is room, and begin what may begin."""
        with self._lock:
            room = WAITING + THREADS - len(self._waiting) - sum(self._in_flight.values())
        if room > 0:
            due = self._store.run(due_hooks(room, self._lease_s))
            until = time.monotonic() + 2 * self._timeout_s
            with self._lock:
                self._waiting.extend((until, one) for one in due)
        self._begin()

    def stop(self) -> None:
        """Finish the attempts in flight. What waits here comes back from the outbox."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=True)

    def _begin(self) -> None:
        with self._lock:
            for _ in range(len(self._waiting)):
                until, one = self._waiting.popleft()
                endpoint = endpoint_of(one.url)
                if time.monotonic() > until:
                    continue  # its lease ends soon: somebody else's then
                if self._in_flight[endpoint] >= PER_ENDPOINT or self._in_flight.total() >= THREADS:
                    self._waiting.append((until, one))
                    continue
                self._in_flight[endpoint] += 1
                self._pool.submit(self._attempt, one, endpoint)

    def _attempt(self, one: DueDelivery, endpoint: str) -> None:
        try:
            self._deliver(one)
        except Overloaded as error:
            logger.warning("delivery left to its lease", extra={"delivery": one.name, "error": repr(error)})
        except Exception:
            logger.exception("delivery failed", extra={"delivery": one.name})
        finally:
            with self._lock:
                self._in_flight[endpoint] -= 1
                if not self._in_flight[endpoint]:
                    del self._in_flight[endpoint]
                idle = not self._waiting
            if idle:
                self._waker.wake_deliver()
            else:
                self._begin()

    def _deliver(self, one: DueDelivery) -> None:
        (snapshot,) = self._store.run(view([one.job], inline_results=INLINE_RESULTS))
        if snapshot is None:  # its retention is over: there is nothing left to tell
            self._store.run(settle_hook(one.name, log="{}", state="dropped", next_try_s=None))
            return
        job = shown(snapshot, self._base_url)
        data = job.model_dump(mode="json")
        if len(json.dumps(data)) > INLINE_BYTES:
            data["results"] = None
        outcome = deliver(
            self._egress,
            one.url,
            one.name,
            one.event,
            rfc3339(one.at_ms) or "",
            data,
            secret=self._secret,
            timeout_s=self._timeout_s,
            allow_http=self._allow_http,
        )
        attempt = one.tries + 1
        again_s = next_try(attempt, outcome, self._retry_s, self._rng)
        state = "pending" if again_s is not None else ("exhausted" if outcome.status == "failed" else outcome.status)
        self._store.run(settle_hook(one.name, log=_log_entry(attempt, outcome), state=state, next_try_s=again_s))
        logger.info("webhook", extra={"delivery": one.name, "state": state, "status": outcome.http_status})


def _log_entry(attempt: int, outcome: Outcome) -> str:
    entry = {
        "attempt": attempt,
        "at": rfc3339(int(time.time() * 1000)),
        "status": outcome.http_status,
        "latency_ms": round(outcome.latency_ms, 1),
        "error": outcome.error,
    }
    return json.dumps(entry)

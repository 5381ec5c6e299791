"""The load: threads that post jobs at a pace, each until it is answered 202, whatever happens in between.

A client as docs/api.md advises: one `Idempotency-Key` a job, kept over all tries; 429, 503 and a broken connection mean
to try again. What is answered 202 goes to the ledger; every other answer is kept as it was.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bench.faults.client import Answer, Client, NoAnswer
from bench.faults.ledger import Ledger

AGAIN_S = 0.2
"""Between two tries of one job: sooner than `Retry-After` asks, so that a fault is felt from its first moment on."""
GIVE_UP_S = 120.0
THREADS = 8


@dataclass(frozen=True)
class Refusal:
    """One answer that was neither 202 nor wrong: when, its status, code, and whether it said when to come back."""

    at: float
    status: int
    code: str
    retry_after_s: float | None
    took_ms: float


class Load:
    """Posts `total` jobs.

    Args:
        dial: makes a connection to the service.
        make: the job for a number from 0 on, without its metadata.
        rate: jobs per second, Poisson arrivals; 0: as fast as it goes.
        name: begins each job's key.

    Attributes:
        refused: every 429 and 503.
        unanswered: tries of which the outcome is not known.
        wrong: answers that should not have been; none is ever right.
        took: of each 202 when its last try was sent and when it was answered, epoch seconds.
    """

    def __init__(
        self, dial: Callable[[], Client], ledger: Ledger, make: Callable[[int], dict[str, Any]], *, total: int,
        rate: float, chance: random.Random, name: str,
    ) -> None:  # fmt: skip
        self._dial, self._ledger, self._make, self._total, self._name = dial, ledger, make, total, name
        self._lock, self._next, self._at = threading.Lock(), 0, time.monotonic()
        self._rate, self._chance = rate, chance
        self._stopping = threading.Event()
        self.refused: list[Refusal] = []
        self.unanswered = 0
        self.wrong: Counter[str] = Counter()
        self.took: list[tuple[float, float]] = []
        self._threads = [threading.Thread(target=self._post_all, name=f"load-{k}", daemon=True) for k in range(THREADS)]

    def taken_within(self, periods: Iterable[tuple[float, float]]) -> int:
        """How many 202s were sent and answered within one of these periods, epoch seconds."""
        spans = list(periods)
        return sum(any(begun < sent and at < ended for begun, ended in spans) for sent, at in self.took)

    def start(self) -> None:
        """Begin."""
        self._at = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether every job was answered, or given up."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Post no more; those under way are answered first."""
        self._stopping.set()

    def join(self, limit_s: float) -> None:
        """Wait for the end. Raises TimeoutError."""
        deadline = time.monotonic() + limit_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if not self.over:
            raise TimeoutError(f"{len(self._ledger)} of {self._total} jobs were answered in {limit_s:g} s")

    def _turn(self) -> int | None:
        """The next job's number, at its time; None: there is none."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            if self._rate:
                self._at += self._chance.expovariate(self._rate)
            at = self._at
        if number >= self._total or self._stopping.wait(max(0.0, at - time.monotonic())):
            return None
        return None if self._stopping.is_set() else number

    def _post_all(self) -> None:
        client = self._dial()
        while (number := self._turn()) is not None:
            self._post(client, number)
        client.close()

    def _post(self, client: Client, number: int) -> None:
        key = f"{self._name}-{number}"
        job = self._make(number) | {"metadata": {"key": key}}
        give_up = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up:
            sent = time.time()
            try:
                answer = client.ask("POST", "/jobs", job, {"Idempotency-Key": key})
            except NoAnswer:
                with self._lock:
                    self.unanswered += 1
            else:
                took_ms = 1000 * (time.time() - sent)
                if answer.status == 202:
                    self._ledger.add(str(answer.json()["id"]), key)
                    with self._lock:
                        self.took.append((sent, time.time()))
                    return
                self._note(answer, took_ms)
            time.sleep(AGAIN_S)
        with self._lock:
            self.wrong["given up"] += 1

    def _note(self, answer: Answer, took_ms: float) -> None:
        kind = answer.headers.get("content-type", "")
        code = str(answer.json().get("code", "")) if kind == "application/problem+json" else ""
        busy = answer.status in (429, 503) or (answer.status == 409 and code == "idempotency_in_flight")
        with self._lock:
            if busy and code and answer.retry_after_s:
                self.refused.append(Refusal(time.time(), answer.status, code, answer.retry_after_s, took_ms))
            else:
                self.wrong[f"{answer.status} {code or repr(answer.body[:80])}"] += 1

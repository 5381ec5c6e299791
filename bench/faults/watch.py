"""Holds the service to its ledger: every job of it reaches one final state, in time, and that state never changes.

Watches over the API alone, as a client would: while the faults go on it looks at jobs at random, at the end at each.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench.faults.client import Client, NoAnswer
from bench.faults.ledger import Ledger

FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
PAUSE_S = 0.02
THREADS = 4


@dataclass(frozen=True)
class Ended:
    """A job's final state as first seen: its digest, and what of it is counted. Times are epoch seconds."""

    digest: str
    status: str
    attempts: int
    finished: float
    codes: tuple[str, ...]


@dataclass
class Verdict:
    """What became of a ledger.

    Attributes:
        lost: jobs that the service does not know any more, or that are not final in time.
        changed: jobs whose final state was seen to change.
        looks: how often a final state was seen again.
    """

    jobs: int = 0
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    looks: int = 0
    ended: dict[str, Ended] = field(default_factory=dict)

    @property
    def statuses(self) -> dict[str, int]:
        """Jobs by final status."""
        return dict(Counter(one.status for one in self.ended.values()))

    @property
    def kept(self) -> bool:
        """Whether nothing was lost and nothing changed."""
        return not self.lost and not self.changed


class Watcher:
    """Looks at random jobs of the ledger until it is told to `settle`. `dial` makes a connection to the service."""

    def __init__(self, dial: Callable[[], Client], ledger: Ledger, chance: random.Random) -> None:
        self._dial, self._ledger, self._chance = dial, ledger, chance
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._verdict = Verdict()
        self._thread = threading.Thread(target=self._wander, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def settle(self, limit_s: float) -> Verdict:
        """Wait until every job of the ledger is final, then look at each once more. What is not in time is lost."""
        self._stopping.set()
        self._thread.join(60)
        deadline = time.monotonic() + limit_s
        jobs = [entry.id for entry in self._ledger.entries()]
        self._each([job for job in jobs if job not in self._verdict.ended], deadline)
        missing = [job for job in jobs if job not in self._verdict.ended]
        self._each([job for job in jobs if job in self._verdict.ended], time.monotonic() + limit_s)
        self._verdict.jobs = len(jobs)
        self._verdict.lost = missing
        return self._verdict

    def _wander(self) -> None:
        client = self._dial()
        while not self._stopping.wait(PAUSE_S):
            entries = self._ledger.entries()
            if entries:
                # Half of the looks at what came last: it is about to change, and what follows is a second look at it.
                recent = entries[-200:] if self._chance.random() < 0.5 else entries
                self._look(client, self._chance.choice(recent).id, "")
        client.close()

    def _each(self, jobs: Sequence[str], deadline: float) -> None:
        def see(share: Sequence[str]) -> None:
            client = self._dial()
            for job in share:
                while not self._look(client, job, "?wait=5") and time.monotonic() < deadline:
                    time.sleep(PAUSE_S)
            client.close()

        with ThreadPoolExecutor(THREADS) as pool:
            for one in [pool.submit(see, jobs[k::THREADS]) for k in range(THREADS)]:
                one.result()

    def _look(self, client: Client, job: str, query: str) -> bool:
        """Whether the job was seen in a final state just now."""
        try:
            answer = client.ask("GET", f"/jobs/{job}{query}")
        except NoAnswer:
            return False
        if answer.status != 200 or answer.json()["status"] not in FINAL:
            with self._lock:
                if answer.status in (200, 404) and job in self._verdict.ended:
                    self._verdict.changed.append(job)
            return False
        digest = hashlib.sha256(answer.body).hexdigest()
        with self._lock:
            first = self._verdict.ended.setdefault(job, _ended(digest, answer.json()))
            self._verdict.looks += 1
            if first.digest != digest:
                self._verdict.changed.append(job)
        return True


def _ended(digest: str, job: dict[str, Any]) -> Ended:
    codes = tuple(one["error"]["code"] for one in job["results"] or () if one.get("error"))
    finished = datetime.fromisoformat(job["finished_at"]).timestamp()
    return Ended(digest, job["status"], job["attempts"], finished, codes)

"""A service under load, with its ledger, its pictures and its watcher: where a scenario does its fault, and what is
counted in the same way whatever the fault was."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.faults.books import counted
from bench.faults.ledger import Ledger
from bench.faults.load import Load
from bench.faults.scenario import OUT, chance, workplace
from bench.faults.service import Service
from bench.faults.site import OPEN_NETWORK, Site
from bench.faults.watch import Ended, Verdict, Watcher

SETTLE_S = 120.0


@dataclass
class UnderLoad:
    """One run. `settle` ends the load and waits for every job.

    Attributes:
        measured: what is counted for every fault, once it has settled.
    """

    service: Service
    site: Site
    ledger: Ledger
    load: Load
    watcher: Watcher
    verdict: Verdict = field(default_factory=Verdict)
    measured: dict[str, Any] = field(default_factory=dict)

    def settle(self, limit_s: float = SETTLE_S) -> None:
        """Until all jobs are posted, and final. Raises TimeoutError: they could not even be posted."""
        self.load.join(limit_s)
        self.verdict = self.watcher.settle(limit_s)
        client = self.service.client()
        self.measured = {
            "jobs": self.verdict.jobs,
            "lost": len(self.verdict.lost),
            "final states changed": len(self.verdict.changed),
            "final states": self.verdict.statuses,
            "errors": dict(Counter(code for one in self.verdict.ended.values() for code in one.codes)),
            "looks at final states": self.verdict.looks,
            "accepted": counted(client, "spotter_jobs_accepted_total"),
            "results committed": counted(client, "spotter_pictures_total"),
            "refused": len(self.load.refused),
            "unanswered": self.load.unanswered,
            "ledger sha256": self.ledger.sha256()[:16],
        }
        if self.load.wrong:
            self.measured["wrong answers"] = dict(self.load.wrong)
        client.close()

    @property
    def kept(self) -> bool:
        """Whether every job is final, none changed, each picture has one result, and no answer was wrong."""
        once = self.measured["results committed"] == self.measured["accepted"] >= self.verdict.jobs
        return self.verdict.kept and once and not self.load.wrong

    @property
    def ended(self) -> dict[int, Ended]:
        """The final states by job number."""
        numbers = {entry.id: int(entry.key.rpartition("-")[2]) for entry in self.ledger.entries()}
        return {numbers[job]: one for job, one in self.verdict.ended.items()}

    def said(self, words: str) -> int:
        """How often the workers' logs hold this."""
        return sum(self.service.log(name).count(words) for name in self.service.workers)


@contextmanager
def under_load(
    scenario: str, asked: argparse.Namespace, *, rate: float, slow_s: tuple[float, float], workers: int,
    job: Mapping[str, Any] | None = None, through: Callable[[int], int] | None = None,
    before: Callable[[Service], None] | None = None, **settings: str,
) -> Iterator[UnderLoad]:  # fmt: skip
    """A service with `workers` workers to which `asked.jobs` jobs are posted at `rate` a second (0: at once).

    Args:
        slow_s: how long a picture's site takes, least and most.
        job: further fields of every job.
        through: see `Service`.
        before: called when the service is ready, before the load begins.
        settings: `SPOTTER_*` in small letters without the prefix.
    """
    settings = {"sweep_s": "1", "fetch_allow": OPEN_NETWORK} | settings
    with workplace(scenario) as (folder, models), Site(chance(asked.seed, "site"), *slow_s) as site:
        ledger = Ledger(OUT / f"{scenario}.ledger.jsonl")

        def make(number: int) -> dict[str, Any]:
            return {"image": {"url": site.url(number)}} | dict(job or {})

        with Service(folder, models, workers=workers, settings=settings, through=through) as service:
            if before is not None:
                before(service)
            load = Load(service.client, ledger, make, total=asked.jobs, rate=rate, chance=chance(asked.seed, "load"),
                        name=f"{scenario}-{asked.seed}")  # fmt: skip
            watcher = Watcher(service.client, ledger, chance(asked.seed, "watcher"))
            load.start()
            watcher.start()
            yield UnderLoad(service, site, ledger, load, watcher)

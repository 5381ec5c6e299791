"""Soak: everything that a service is asked for, mixed, for half an hour; then what it has grown by is counted.

Errands (`errands.py`) begin at a modest open-loop rate, Poisson; every answer is known beforehand, and every job is
followed to its end. Results are kept for a minute, so most of the run is one in which as much goes as comes. Memory,
threads and descriptors of each process and the keys of the store are looked at every few seconds, and a straight line
is drawn through the last two thirds; it is judged in runs of ten minutes or more. When the last job is past its
retention nothing of any may be left in the store.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench.arguments import say
from bench.faults.client import NoAnswer
from bench.faults.errands import ERRANDS
from bench.faults.gauges import INDEXES, PER_JOB, Gauges, trend
from bench.faults.ledger import Ledger
from bench.faults.receiver import MASTER, Receiver
from bench.faults.scenario import OUT, Row, chance, conclude, parser, workplace
from bench.faults.service import Service
from bench.faults.site import OPEN_NETWORK, Site
from bench.faults.visitor import Notes, Visitor, Wrong
from bench.openloop import schedule
from spotter.address import free_port

CLIENTS = 128
"""Errands at once, at most."""
SLOW_S = (0.01, 0.15)
FAILING = 0.1
SETTINGS = {
    "fetch_allow": OPEN_NETWORK, "cache": "true", "webhook_secret": MASTER, "webhook_http": "true",
    "webhook_timeout_s": "2", "webhook_retry_s": ",".join(["1"] * 5 + ["2"] * 14),
}  # fmt: skip
MB_PERCENT = 2.0
"""Per ten minutes."""
LONG_S = 600.0
"""A shorter run is too short to see a trend: what a process needs but once comes first."""
DRAIN_S = 60 + 30.0
"""A picture that could not be read is kept for the longest that its job may live, and a minute."""


class Mixture:
    """The load: errands of all kinds, by their weights, at times drawn beforehand."""

    def __init__(self, service: Service, site: Site, receiver: Receiver, ledger: Ledger, seed: int) -> None:
        self._service, self._site, self._receiver, self._ledger = service, site, receiver, ledger
        self._dice, self.notes, self.most_late_s = chance(seed, "errands"), Notes(), 0.0
        self._dead = f"http://127.0.0.1:{free_port()}/nobody.png"
        probe = self._visitor("known-0", [])
        self._pictures = [probe.picture() for _ in range(5)]
        self._count = 0

    def go_on(self, rate: float, seconds: float) -> None:
        """Errands at `rate` a second for so long; those that were begun are then waited for."""
        kinds, weights = list(ERRANDS), [weight for _, weight in ERRANDS.values()]
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS, thread_name_prefix="client") as clients:
            for at in schedule(rate, seconds, self._dice.randrange(1 << 30)):
                time.sleep(max(0.0, begun + at - time.monotonic()))
                kind = self._dice.choices(kinds, weights)[0]
                self._count += 1
                me = self._visitor(f"{kind}-{self._count}-{self._dice.randrange(1 << 40):x}", self._pictures)
                clients.submit(self._run, kind, me, begun + at)

    def _visitor(self, name: str, known: list[bytes]) -> Visitor:
        return Visitor(
            self._service.client(60.0), self._ledger, self.notes, random.Random(self._dice.random()), name,
            known=known, picture_url=self._site.url, dead_url=self._dead, hook_url=self._receiver.url,
            key=self._service.key,
        )  # fmt: skip

    def _run(self, kind: str, me: Visitor, due: float) -> None:
        late_s = time.monotonic() - due
        try:
            ERRANDS[kind][0](me)
        except (Wrong, NoAnswer) as error:
            self._note(f"{kind}: {error}")
        except Exception as error:  # an errand that cannot be told to its end is a finding, whatever it was
            self._note(f"{kind}: {error!r}")
        finally:
            me.leave()
        with self.notes.lock:
            self.notes.done[kind] += 1
            self.most_late_s = max(self.most_late_s, late_s)

    def _note(self, words: str) -> None:
        say(words[:300])
        with self.notes.lock:
            self.notes.wrong[words[:160]] += 1


@contextmanager
def stage(asked: argparse.Namespace) -> Iterator[tuple[Service, Mixture, Ledger, Receiver]]:
    """A service, its load that has not begun, and who takes its webhooks."""
    seed, settings = asked.seed, SETTINGS | {"retain_s": str(asked.retain), "deadline_s": str(asked.deadline)}
    with (
        workplace("soak") as (folder, models),
        Site(chance(seed, "site"), *SLOW_S) as site,
        Receiver(chance(seed, "receiver"), FAILING) as receiver,
        Service(folder, models, workers=asked.workers, settings=settings) as service,
    ):
        receiver.learn(service.webhook_secret())
        ledger = Ledger(OUT / "soak.ledger.jsonl")
        yield service, Mixture(service, site, receiver, ledger, seed), ledger, receiver


def drained(gauges: Gauges, limit_s: float) -> dict[str, int]:
    """What is left by family of keys that belong to jobs, when there is nothing left or the time is over."""
    deadline = time.monotonic() + limit_s
    while (left := {name: n for name, n in gauges.keys().items() if name in (*PER_JOB, *INDEXES) and n}) and (
        time.monotonic() < deadline
    ):
        time.sleep(2)
    return left


def drift(gauges: Gauges, names: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The trends, in words, of memory, threads, files and keys, and which are not flat.

    What the store uses goes up and down with the jobs that it has just then; that is noise like that of their number.
    """
    words: dict[str, Any] = {}
    risen = []
    for name in [*(f"{one} MB" for one in names), "store used MB"]:
        line = trend(gauges.series[name])
        words[name] = f"{line.mean:.1f} ({line.percent:+.2f} % per 10 min)"
        of_store = name in ("valkey MB", "store used MB")
        risen += [] if line.percent < MB_PERCENT or (of_store and line.rise <= 2 * line.noise) else [name]
    counts = [f"{one} {what}" for what in ("threads", "files") for one in names]
    for name in [*counts, "store entries", *(f"keys {one}" for one in PER_JOB)]:
        if name in gauges.series:
            line = trend(gauges.series[name])
            words[name] = f"{line.mean:.0f} ({line.rise:+.1f})"
            risen += [] if line.within_noise else [name]
    return words, risen


def run(asked: argparse.Namespace) -> Row:
    """`rate` errands a second for `seconds` s."""
    with stage(asked) as (service, mixture, ledger, receiver):
        names = ["api", *service.workers, "valkey"]
        mixture.go_on(asked.rate, min(10.0, asked.seconds / 6))
        with service.looker() as store:
            gauges = Gauges({name: service.pid(name) for name in names}, store, min(5.0, asked.seconds / 30))
            before, begun = gauges.cpu_s(), time.monotonic()
            gauges.start()
            mixture.go_on(asked.rate, asked.seconds)
            gauges.stop()
            cores = (gauges.cpu_s() - before) / (time.monotonic() - begun)
            say("the load is over")
            left = drained(gauges, asked.retain + asked.deadline + DRAIN_S)
            keys = gauges.keys()
        missing = mixture.notes.told - receiver.answered.keys()
    notes = mixture.notes
    lost = {entry.id for entry in ledger.entries()} - notes.ended.keys()
    words, risen = drift(gauges, names)
    judged = risen if asked.seconds >= LONG_S else []
    return Row(
        load=f"{asked.seconds / 60:.0f} min, {asked.rate:g} errands/s of {len(ERRANDS)} kinds",
        fault=f"bad pictures, dead addresses, cancels, retries, deletes, deadlines; {FAILING:.0%} of webhooks fail; "
              f"results kept for {asked.retain} s",
        reach=f"every job ends as it must; memory < {MB_PERCENT:g} % per 10 min; threads, descriptors, keys: no "
              "trend beyond noise; nothing of a job left",
        measured={
            "errands": sum(notes.done.values()), "cores in use": round(cores, 2),
            "jobs": len(ledger), "lost": len(lost), "ends": dict(Counter(notes.ended.values())),
            "wrong": dict(notes.wrong.most_common(5)), "webhooks": len(notes.told), "never arrived": len(missing),
            "signatures wrong": receiver.forged, "latest start of an errand s":
            round(mixture.most_late_s, 2), **words, "not flat": risen, "left of jobs": left,
            "idempotency keys kept": keys.get("idem", 0), "sent": notes.keys, "ledger sha256": ledger.sha256()[:16],
        },
        held=not (lost or notes.wrong or missing or receiver.forged or judged or left)
        and keys.get("idem", 0) <= notes.keys,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"seconds": 1800.0, "rate": 12.0, "workers": 2, "retain": 60, "deadline": 120}
    conclude(run, parser(__doc__, full, {"seconds": 20.0, "retain": 15, "deadline": 20}).read())


if __name__ == "__main__":
    main()

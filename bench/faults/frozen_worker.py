"""Frozen worker: SIGSTOP past the lease, so that others take its pictures over, and SIGCONT, so that it goes on as if
nothing had happened. What it writes then comes too late and must be refused.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections import Counter

from bench.arguments import say
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load

SLOW_S = (0.2, 0.6)
PAST_LEASE_S = (1.5, 3.0)
AWAKE_S = (1.0, 2.0)


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `freezes` freezes of one of `workers` workers, leases of `lease` s."""
    dice = chance(asked.seed, "freezes")
    rate = asked.jobs / (asked.freezes * (asked.lease + max(PAST_LEASE_S) + max(AWAKE_S)))
    with under_load("frozen_worker", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers,
                    lease_s=str(asked.lease)) as fire:  # fmt: skip
        for number in range(1, asked.freezes + 1):
            time.sleep(dice.uniform(*AWAKE_S))
            name = dice.choice(fire.service.workers)
            fire.service.send(name, signal.SIGSTOP)
            time.sleep(asked.lease + dice.uniform(*PAST_LEASE_S))
            fire.service.send(name, signal.SIGCONT)
            if number % 5 == 0 or number == asked.freezes:
                say(f"{number} freezes, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(120)
        refused, noticed = fire.said("stale result dropped"), fire.said("lease lost")
    attempts = Counter(one.attempts for one in fire.ended.values())
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.freezes} times SIGSTOP past the lease of {asked.lease:g} s, and SIGCONT",
        reach="0 stale results accepted: one result each, 0 final states changed",
        measured=fire.measured | {
            "pictures taken over": sum(count for tries, count in attempts.items() if tries > 1),
            "stale results refused": refused, "given up by the thawed worker itself": noticed,
            "stale results accepted": fire.measured["results committed"] - fire.measured["accepted"],
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and refused + noticed > 0,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 4_000, "freezes": 20, "workers": 3, "lease": 3.0}
    conclude(run, parser(__doc__, full, {"jobs": 200, "freezes": 2, "workers": 2, "lease": 1.5}).read())


if __name__ == "__main__":
    main()

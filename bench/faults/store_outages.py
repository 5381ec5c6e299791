"""Store outages: the store, which is the broker too, is killed and stays away for longer than a lease.

No worker could beat meanwhile, so silence is nobody's fault: what workers hold they go on holding, and its results are
written when the store is back. A second attempt is right only where the kill came between a claim and its answer.
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load

SLOW_S = (0.5, 4.0)
"""So that many are in hand when the store goes, and most of these are through when it comes back."""
GAP_S = (5.0, 8.0)
"""From the store's return to the next kill."""
LEASES_AWAY = 2.0


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `outages` outages of twice the `lease` s, `workers` workers."""
    dice, away_s = chance(asked.seed, "kills"), LEASES_AWAY * asked.lease
    rate, in_hand = asked.jobs / (asked.outages * (max(GAP_S) + 2)), 0
    with under_load("store_outages", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers,
                    lease_s=str(asked.lease)) as fire:  # fmt: skip
        for number in range(1, asked.outages + 1):
            time.sleep(dice.uniform(*GAP_S))
            with fire.service.store() as store:
                in_hand += int(store.zcard("spotter:leases"))
            fire.service.kill("valkey")
            time.sleep(away_s)
            fire.service.start("valkey")
            fire.service.await_store()
            say(f"outage {number}, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(300)
        given_up = fire.said("left to the lease")
    again = sum(one.attempts > 1 for one in fire.ended.values())
    poisoned = sum("poison" in one.codes for one in fire.ended.values())
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.outages} SIGKILLs of the store, {away_s:g} s down, leases of {asked.lease:g} s",
        reach="0 lost, no picture given up, second attempts only where a kill came between a claim and its answer: "
        "one an outage at most",
        measured=fire.measured | {
            "pictures in hand at the kills": in_hand, "second attempts": again, "given up as poison": poisoned,
            "left to the lease": given_up,
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and not poisoned and again <= asked.outages < in_hand,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 1_500, "outages": 8, "workers": 3, "lease": 10.0}
    conclude(run, parser(__doc__, full, {"jobs": 120, "outages": 2, "workers": 1, "lease": 3.0}).read())


if __name__ == "__main__":
    main()

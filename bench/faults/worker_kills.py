"""Worker kills: SIGKILL over three workers at random moments while jobs are posted and worked on.

Every picture takes its site 0.1 to 0.7 s, so each kill hits about eight of them in the worker's hands. A killed worker
is started again at once, as a supervisor would.
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.recovery import recoveries
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load
from bench.figures import percentile

SLOW_S = (0.1, 0.7)
GAP_S = (2.0, 5.0)
"""Between two kills."""
POSTING = 0.8
"""Share of the time of the kills in which the jobs are posted; the rest is for the end under fire."""


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `kills` SIGKILLs over `workers` workers, leases of `lease` s."""
    dice, kills = chance(asked.seed, "kills"), list[float]()
    rate = asked.jobs / (asked.kills * sum(GAP_S) / 2 * POSTING)
    with under_load("worker_kills", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers,
                    lease_s=str(asked.lease)) as fire:  # fmt: skip
        for number in range(1, asked.kills + 1):
            time.sleep(dice.uniform(*GAP_S))
            name = dice.choice(fire.service.workers)
            kills.append(fire.service.kill(name))
            fire.service.start(name)
            if number % 10 == 0 or number == asked.kills:
                say(f"{number} kills, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(300)
        stale = fire.said("stale result dropped")
    times = recoveries(kills, fire.site.fetched(), fire.ended) or [0.0]
    p99 = percentile(times, 99)
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.kills} SIGKILLs over {asked.workers} workers",
        reach="0 lost, 0 final states changed, one result each; recovery p99 <= 2 x lease",
        measured=fire.measured | {
            "attempts broken off": len(times), "stale results refused": stale, "lease s": asked.lease,
            "recovery p50 s": round(percentile(times, 50), 1), "recovery p99 s": round(p99, 1),
            "recovery max s": round(max(times), 1),
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and p99 <= 2 * asked.lease,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 10_000, "kills": 50, "workers": 3, "lease": 10.0}
    conclude(run, parser(__doc__, full, {"jobs": 300, "kills": 4, "lease": 2.0}).read())


if __name__ == "__main__":
    main()

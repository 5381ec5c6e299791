"""Webhooks: every job has one, the receiver fails 30 % of the attempts, and workers are killed in the middle of theirs.

Each id must arrive at least once, and a receiver that knows the ids has each event once. The retries of days are set to
seconds (`SPOTTER_WEBHOOK_RETRY_S`).
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.receiver import MASTER, Receiver
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load

FAILING = 0.3
SLOW_S = (0.05, 0.2)
GAP_S = (3.0, 6.0)
RETRY_S = ",".join([*["1"] * 5, *["2"] * 14])
"""Twenty attempts: 0.3 to the power of 20 leaves nothing to chance."""
TIMEOUT_S = 2.0
ARRIVE_S = 120.0


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs with a webhook each, `kills` SIGKILLs over `workers` workers."""
    dice = chance(asked.seed, "kills")
    rate = asked.jobs / (asked.kills * max(GAP_S))
    with Receiver(chance(asked.seed, "receiver"), FAILING) as receiver, under_load(
        "webhooks", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers, lease_s="5",
        job={"webhook": {"url": receiver.url}},
        before=lambda service: receiver.learn(service.webhook_secret()),
        webhook_secret=MASTER, webhook_http="true",
        webhook_timeout_s=str(TIMEOUT_S), webhook_retry_s=RETRY_S,
    ) as fire:  # fmt: skip
        for number in range(1, asked.kills + 1):
            time.sleep(dice.uniform(*GAP_S))
            name = dice.choice(fire.service.workers)
            fire.service.kill(name)
            fire.service.start(name)
            if number % 5 == 0 or number == asked.kills:
                say(f"{number} kills, {len(fire.ledger)} jobs accepted, {len(receiver.answered)} webhooks arrived")
        fire.settle(180)
        events = {f"{job}.job.{one.status}" for job, one in fire.verdict.ended.items()}
        deadline = time.monotonic() + ARRIVE_S
        while events - receiver.answered.keys() and time.monotonic() < deadline:
            time.sleep(0.1)
    missing, strange = events - receiver.answered.keys(), receiver.believed.keys() - events
    doubled = sum(count > 1 for count in receiver.believed.values())
    return Row(
        load=f"{asked.jobs:,} webhooks, the receiver fails {FAILING:.0%} of the attempts",
        fault=f"{asked.kills} SIGKILLs over {asked.workers} workers",
        reach="each id at least once, once after dedupe",
        measured=fire.measured | {
            "events": len(events), "never arrived": len(missing),
            "after dedupe": len(receiver.believed.keys() & events), "ids of no event": len(strange),
            "arrived more than once": doubled, "attempts": receiver.attempts, "signatures wrong": receiver.forged,
        },
        held=fire.kept and not missing and not strange and not receiver.forged,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 5_000, "kills": 20, "workers": 3}
    conclude(run, parser(__doc__, full, {"jobs": 200, "kills": 2, "workers": 2}).read())


if __name__ == "__main__":
    main()

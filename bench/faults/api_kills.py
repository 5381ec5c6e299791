"""API kills: SIGKILL of the API at random moments while clients post with idempotency keys and try again until a 202.

A client whose connection broke cannot know whether it was heard; it sends the same key again. Afterwards the list of
all jobs is read: each key must be there exactly once, under the id that was answered.
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.books import jobs_by_key
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load

SLOW_S = (0.02, 0.2)
GAP_S = (1.5, 4.0)
"""From the API's return to the next kill."""


def run(asked: argparse.Namespace) -> Row:
    """`jobs` posts, `kills` SIGKILLs of the API, `workers` workers."""
    dice, downs = chance(asked.seed, "kills"), list[float]()
    rate = asked.jobs / (asked.kills * (max(GAP_S) + 1))
    with under_load("api_kills", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers) as fire:
        for number in range(1, asked.kills + 1):
            time.sleep(dice.uniform(*GAP_S))
            at = fire.service.kill("api")
            fire.service.start("api")
            downs.append(fire.service.await_api() - at)
            if number % 5 == 0 or number == asked.kills:
                say(f"{number} kills, {len(fire.ledger)} jobs accepted")
        fire.settle(180)
        client = fire.service.client()
        keys = jobs_by_key(client)
        client.close()
    promised = {entry.key: entry.id for entry in fire.ledger.entries()}
    missing = sum(keys.get(key, []) != [job] for key, job in promised.items())
    doubled = sum(len(ids) > 1 for ids in keys.values())
    return Row(
        load=f"{asked.jobs:,} posts with idempotency keys",
        fault=f"{asked.kills} SIGKILLs of the API",
        reach="every 202 exists once",
        measured=fire.measured | {
            "keys": len(promised), "keys without their job": missing, "keys with two jobs": doubled,
            "jobs of no 202": len(keys.keys() - promised.keys()), "API away, longest s": round(max(downs), 1),
        },
        held=fire.kept and len(promised) == asked.jobs and not missing and not doubled
        and fire.measured["accepted"] == asked.jobs,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 5_000, "kills": 20, "workers": 2}
    conclude(run, parser(__doc__, full, {"jobs": 300, "kills": 3, "workers": 1}).read())


if __name__ == "__main__":
    main()

"""Stalled network: between the service and its store nothing comes through for a while, and nobody is told.

API and workers reach the store, which is the broker too, through a proxy. Each round stalls it, without closing
anything; after every other stall the old connections stay silent for ever, as behind a router that forgot them. Then
it delays every piece, and resets every connection. The measures are the tenth picture that workers begin with after a
stall (what they had claimed before it lasts for less), and how long a client waited for its refusal.
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.network import Network
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.site import Site
from bench.faults.under_load import under_load
from bench.faults.valkey_kills import TENTH, after

SLOW_S = (0.3, 0.9)
GAP_S = (2.0, 4.0)
"""With everything well, before each stall."""
DELAY_S = 0.05
DELAYED_S = 3.0
WITHIN_S = 25.0


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `stalls` stalls of `seconds` s, each followed by a delay and a reset, `workers` workers."""
    dice, stalls, resets = chance(asked.seed, "network"), list[tuple[float, float]](), 0
    rate = asked.jobs / (asked.stalls * (asked.seconds + max(GAP_S) + DELAYED_S))
    with Network() as network, under_load(
        "stalled_network", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers, lease_s=str(asked.lease),
        through=network.to,
    ) as fire:  # fmt: skip
        for number in range(asked.stalls):
            time.sleep(dice.uniform(*GAP_S))
            network.stall()
            begun = time.time()
            time.sleep(asked.seconds)
            network.go_on(old_links=number % 2 == 1)
            stalls.append((begun, time.time()))
            await_tenth(fire.site, stalls[-1][1])
            network.delay(DELAY_S)
            time.sleep(DELAYED_S)
            network.delay(0)
            resets += network.reset()
            say(f"stall {number + 1}, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(300)
        resumed = [after(up, fire.site.since(up)[TENTH - 1 :]) for _, up in stalls]
    refused = [one for one in fire.load.refused if any(down <= one.at <= up + 5 for down, up in stalls)]
    false = fire.load.taken_within(stalls)
    again = sum(one.attempts > 1 for one in fire.ended.values())
    poisoned = sum("poison" in one.codes for one in fire.ended.values())
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.stalls} stalls of {asked.seconds:g} s without close between service and store, "
        f"{asked.stalls} resets of all connections, {1000 * DELAY_S:g} ms each way in between",
        reach=f"0 lost; no 202 in a stall; no picture given up; work goes on <= {WITHIN_S:g} s after a stall",
        measured=fire.measured | {
            "refused during stalls": len(refused), "202 during stalls": false,
            "slowest refusal ms": round(max((one.took_ms for one in refused), default=0.0)),
            "work again after s": sorted(resumed), "connections reset": resets, "second attempts": again,
            "given up as poison": poisoned, "lease s": asked.lease,
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and not false and not poisoned
        and max(resumed) <= WITHIN_S,
    )  # fmt: skip


def await_tenth(site: Site, up: float) -> None:
    """Until workers have begun with ten pictures since `up`; for twice `WITHIN_S` at most, which the row then shows."""
    deadline = up + 2 * WITHIN_S
    while len(site.since(up)) < TENTH and time.time() < deadline:
        time.sleep(0.05)


def main() -> None:
    """The command line."""
    full = {"jobs": 3_000, "stalls": 10, "seconds": 30.0, "workers": 3, "lease": 30.0}
    conclude(run, parser(__doc__, full, {"jobs": 150, "stalls": 2, "seconds": 8.0, "workers": 2, "lease": 5.0}).read())


if __name__ == "__main__":
    main()

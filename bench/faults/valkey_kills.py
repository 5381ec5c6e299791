"""Valkey kills: SIGKILL of the store, which is the broker too, and a start from its append-only file two seconds later.

The API must answer 503 meanwhile and never 202, and when the store is back, work must go on: the measure is the tenth
picture that workers begin with after that (what is in their hands lasts for less).
"""

from __future__ import annotations

import argparse
import time

from bench.arguments import say
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.under_load import under_load

SLOW_S = (0.3, 0.9)
GAP_S = (4.0, 9.0)
"""From the store's return to the next kill."""
DOWN_S = 2.0
WITHIN_S = 5.0
TENTH = 10


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `kills` SIGKILLs of the store, `workers` workers."""
    dice, outages = chance(asked.seed, "kills"), list[tuple[float, float, float]]()
    rate = asked.jobs / (asked.kills * (max(GAP_S) + DOWN_S))  # so that there is something to post to the end
    with under_load("valkey_kills", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers) as fire:
        for _ in range(asked.kills):
            time.sleep(dice.uniform(*GAP_S))
            down = fire.service.kill("valkey")
            time.sleep(DOWN_S)
            started = time.time()
            fire.service.start("valkey")
            outages.append((down, started, fire.service.await_store()))
            say(f"kill {len(outages)}, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(300)
        resumed = [after(up, fire.site.since(up)[TENTH - 1 :]) for *_, up in outages]
    false = fire.load.taken_within((down, started) for down, started, _ in outages)
    taken = [after(up, sorted(at for _, at in fire.load.took if at > up)) for *_, up in outages]
    refused = [one for one in fire.load.refused if any(down <= one.at <= up + 1 for down, _, up in outages)]
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.kills} SIGKILLs of the store (AOF everysec), {DOWN_S:g} s down",
        reach=f"0 lost; 503 meanwhile; work goes on <= {WITHIN_S:g} s after it is back",
        measured=fire.measured | {
            "503 during outages": len(refused), "202 during outages": false,
            "slowest 503 ms": round(max((one.took_ms for one in refused), default=0.0)),
            "work again after s": sorted(resumed), "202 again after s": max(taken),
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and not false and bool(refused)
        and max(resumed) <= WITHIN_S,
    )  # fmt: skip


def after(moment: float, times: list[float]) -> float:
    """Seconds from `moment` to the first of `times`, to a tenth; a day when there is none."""
    return round(times[0] - moment, 1) if times else 86_400.0


def main() -> None:
    """The command line."""
    full = {"jobs": 5_000, "kills": 10, "workers": 3}
    conclude(run, parser(__doc__, full, {"jobs": 300, "kills": 2, "workers": 2}).read())


if __name__ == "__main__":
    main()

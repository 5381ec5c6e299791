"""Rolling restarts: SIGTERM to one part after the other, workers and API, as a deployment would do it, under load.

Nothing may be lost and nothing run twice: the site counts how often each picture was fetched.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import time

from bench.arguments import say
from bench.faults.scenario import Row, conclude, parser
from bench.faults.under_load import under_load

SLOW_S = (0.1, 0.6)
DRAIN_S = 30.0
POSTING = 0.9
IN_ORDER = -signal.SIGTERM
"""Once its requests are answered, uvicorn ends by the signal that it was sent."""


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, a SIGTERM every `every` s for `seconds` s."""
    rate, codes, drains = asked.jobs / (asked.seconds * POSTING), list[int](), list[float]()
    with under_load("rolling_restarts", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers) as fire:
        end = time.monotonic() + asked.seconds
        for name in itertools.cycle([*fire.service.workers, "api"]):
            time.sleep(asked.every)
            begun = time.monotonic()
            if begun > end:
                break
            fire.service.send(name, signal.SIGTERM)
            code = fire.service.ended(name, DRAIN_S)
            codes.append(0 if name == "api" and code == IN_ORDER else code)
            drains.append(time.monotonic() - begun)
            fire.service.start(name)
            fire.service.await_api()
            say(f"{name} ended with {codes[-1]} after {drains[-1]:.1f} s, {len(fire.ledger)} jobs accepted")
        fire.settle(120)
    twice = sum(len(times) > 1 for times in fire.site.fetched().values())
    again = sum(one.attempts > 1 for one in fire.ended.values())
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"SIGTERM every {asked.every:g} s for {asked.seconds:g} s, {asked.workers} workers and the API in turn",
        reach="0 lost, 0 run twice, every exit 0",
        measured=fire.measured | {
            "restarts": len(codes), "exits other than 0": sum(code != 0 for code in codes),
            "longest drain s": round(max(drains), 1), "pictures fetched twice": twice, "second attempts": again,
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and not twice and not again and not any(codes),
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 8_000, "seconds": 300.0, "every": 20.0, "workers": 3}
    conclude(run, parser(__doc__, full, {"jobs": 300, "seconds": 20.0, "every": 5.0, "workers": 2}).read())


if __name__ == "__main__":
    main()

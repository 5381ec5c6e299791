"""What further worker processes bring: single-picture jobs, closed loop, with 1 to 4 workers on this machine.

    python -m bench.scale [--workers 1,2,3,4] [--seconds 8] [--rounds 3] [--precision bf16]

The workers share the cores, and each computes with all of them: on a CPU a second worker brings what the first one's
waiting left over, no more. One fresh stack for each number of workers in each round, in turn. The last line is JSON.
"""

from __future__ import annotations

import argparse
from typing import Any

from bench.arguments import parser, result, say
from bench.closedloop import Load
from bench.figures import over_rounds, ratios
from bench.throughput import service_round
from worker import hardware


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All numbers of workers in every round."""
    counts = [int(part) for part in asked.workers.split(",")]
    loads: dict[int, list[Load]] = {count: [] for count in counts}
    for number in range(1, asked.rounds + 1):
        for count in counts:
            loads[count].append(service_round(asked, asked.seconds, workers=count))
        say(f"round {number}: " + ", ".join(f"{count}: {loads[count][-1].rate:.1f}/s" for count in counts))
    first = [load.rate for load in loads[counts[0]]]
    rows = [
        {
            "workers": count,
            "jobs/s": over_rounds([load.rate for load in found]),
            f"to {counts[0]}": over_rounds(ratios([load.rate for load in found], first), 3),
            "p50 ms": over_rounds([load.p50_ms for load in found]),
            "p99 ms": over_rounds([load.p99_ms for load in found]),
        }
        for count, found in loads.items()
    ]
    return {"bench": "scale", "model": asked.model, "precision": asked.precision, "clients": asked.clients,
            "cores": hardware.cores(), "rounds": asked.rounds, "seconds": asked.seconds,
            "generator": loads[counts[0]][0].generator, "rows": rows}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--workers", default="1,2,3,4")
    line.add_argument("--clients", type=int, default=16)
    line.add_argument("--seconds", type=int, default=8)
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

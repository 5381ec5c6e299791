"""How many pictures a second go through the whole service, and what share of the bare model's rate that is.

    python -m bench.throughput [--jobs 400] [--clients 16] [--rounds 3] [--precision bf16]

Single-picture jobs (upload as the raw body) over HTTP into a local stack that this bench starts: a real server process
for the store, the API and one worker. Closed loop (`bench.closedloop`): each of the clients sends, waits for the
finished job (`Prefer: wait`), and sends the next. Beside it, in the same run and in turn with it, the bare loop
(`bench.bare`), with the lanes that the worker has; and a loop that runs one batch at a time on all cores, as most
people would write it. The ratio to the first is the answer; rates alone depend on the machine.

The service pays for its load generator, which takes some of the same cores. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.bare import BareRun, bare_run
from bench.closedloop import Load, closed_loop
from bench.exchange import detection
from bench.figures import over_rounds, ratios
from bench.local import Stack

WARM_UP_S = 2


def service_round(
    asked: argparse.Namespace, seconds: int, workers: int = 1, image: Path | None = None, **settings: str
) -> Load:
    """One fresh stack of these settings, warmed, then loaded for `seconds` with `image` or the command line's."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), asked.models_dir, asked.precision, workers, default_model=asked.model, **settings) as stack,
    ):
        post = detection(image or asked.image)
        closed_loop(stack.port, post, clients=asked.clients, seconds=WARM_UP_S)
        return closed_loop(stack.port, post, clients=asked.clients, seconds=seconds)


def as_long(jobs: int, bare: BareRun) -> int:
    """Whole seconds, at least 3, in which the bare loop would do so many jobs: both sides run about as long."""
    return max(3, round(jobs / bare.pictures_per_s))


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one precision, the bare loop and the service in turn."""
    bares: list[BareRun] = []
    plain: list[float] = []
    loads: list[Load] = []
    for number in range(1, asked.rounds + 1):
        bare = bare_run(asked.image, asked.jobs, asked.models_dir, asked.model, asked.precision)
        load = service_round(asked, as_long(asked.jobs, bare))
        one_run = bare_run(asked.image, asked.jobs, asked.models_dir, asked.model, asked.precision, lanes=1)
        bares.append(bare)
        loads.append(load)
        plain.append(one_run.pictures_per_s)
        say(f"round {number}: bare {bare.pictures_per_s:.1f}/s, one run at a time {plain[-1]:.1f}/s, "
            f"service {load.rate:.1f}/s, ratio {load.rate / bare.pictures_per_s:.3f}")  # fmt: skip
    rates = [load.rate for load in loads]
    share = ratios(rates, [bare.pictures_per_s for bare in bares])
    row = {
        "model": asked.model,
        "precision": f"{bares[0].precision} ({bares[0].provider})",
        "clients": asked.clients,
        "bare pictures/s": over_rounds([bare.pictures_per_s for bare in bares]),
        "service jobs/s": over_rounds(rates),
        "ratio": over_rounds(share, 3),
        "bare, one run at a time": over_rounds(plain),
        "ratio to that": over_rounds(ratios(rates, plain), 3),
        "p50 ms": over_rounds([load.p50_ms for load in loads]),
        "p99 ms": over_rounds([load.p99_ms for load in loads]),
    }
    return {"bench": "throughput", "generator": loads[0].generator, "rounds": asked.rounds,
            "ratio": over_rounds(share, 3)["median"], "ratios": [round(value, 3) for value in share],
            "rows": [row]}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--jobs", type=int, default=400, help="pictures of the bare loop; the service runs as long")
    line.add_argument("--clients", type=int, default=16)
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

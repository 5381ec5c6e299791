"""How long a picture takes through the service: idle, and at half and four fifths of what it can do.

    python -m bench.latency [--pictures 100] [--seconds 20] [--rounds 3] [--precision bf16]

Idle: one upload at a time, from its first byte sent to the last byte of the finished job (`Prefer: wait`), in turn,
picture by picture, with the same picture decoded, fitted, run and selected alone in this process. Their difference is
what the service adds.

Under load: `bench.openloop`, Poisson arrivals at 50 % and 80 % of the capacity that a closed loop of 16 clients reached
just before in the same stack; latencies count from the intended moment of sending. p99.9 is of all rounds together, and
left out under 1,000 samples. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.bare import Bare
from bench.closedloop import LoadError, closed_loop
from bench.exchange import detection, exchange
from bench.figures import Range, over_rounds, percentile
from bench.local import Stack
from bench.openloop import Arrivals, open_loop

SHARES = (0.5, 0.8)
WARM_UP = 20
CAPACITY_CLIENTS = 16
ENOUGH_FOR_P999 = 1000


def idle_round(port: int, image: Path, bare: Bare, pictures: int) -> tuple[list[float], list[float]]:
    """Milliseconds per picture through the service, and alone; one of each in turn."""
    post, data = detection(image), image.read_bytes()
    request, service, alone = post.raw(port), list[float](), list[float]()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(WARM_UP + pictures):
            start = time.perf_counter()
            status, body = exchange(connection, request)
            sent = time.perf_counter()
            bare.one(data)
            end = time.perf_counter()
            if wrong := post.wrong(status, body):
                raise LoadError(wrong)
            if number >= WARM_UP:
                service.append(1000 * (sent - start))
                alone.append(1000 * (end - sent))
    return service, alone


def percentiles(rounds: list[list[float]]) -> dict[str, Range | float | str]:
    """Of each round, as medians over the rounds; p99.9 and the maximum of all together."""
    everything = [value for one in rounds for value in one]
    enough = len(everything) >= ENOUGH_FOR_P999
    return {
        "samples": len(everything),
        "p50 ms": over_rounds([percentile(one, 50) for one in rounds], 2),
        "p90 ms": over_rounds([percentile(one, 90) for one in rounds], 2),
        "p99 ms": over_rounds([percentile(one, 99) for one in rounds], 2),
        "p99.9 ms": round(percentile(everything, 99.9), 1) if enough else "too few",
        "max ms": round(max(everything), 1),
    }


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Round after round, each in a fresh stack: the store keeps uploads, and fills up after some thousands."""
    bare = Bare(asked.models_dir, asked.model, asked.precision)
    service: list[list[float]] = []
    alone: list[list[float]] = []
    rates: dict[float, list[float]] = {share: [] for share in SHARES}
    arrivals: dict[float, list[Arrivals]] = {share: [] for share in SHARES}
    capacities: list[float] = []
    generator = ""
    for number in range(1, asked.rounds + 1):
        with (
            tempfile.TemporaryDirectory() as folder,
            Stack(Path(folder), asked.models_dir, asked.precision, default_model=asked.model) as stack,
        ):
            through, loop = idle_round(stack.port, asked.image, bare, asked.pictures)
            service.append(through)
            alone.append(loop)
            full = closed_loop(stack.port, detection(asked.image), clients=CAPACITY_CLIENTS, seconds=5)
            capacities.append(full.rate)
            generator = full.generator
            for share in SHARES:
                rate = share * full.rate
                seen = open_loop(stack.port, asked.image, rate=rate, seconds=asked.seconds, seed=number)
                rates[share].append(rate)
                arrivals[share].append(seen)
        say(f"round {number}: idle {percentile(through, 50):.1f} ms, alone {percentile(loop, 50):.1f} ms, "
            f"capacity {full.rate:.1f}/s")  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"load": "bare loop, one at a time", "per s": "", **percentiles(alone), "sent late p99 ms": ""},
        {"load": "service, one at a time", "per s": "", **percentiles(service), "sent late p99 ms": ""},
    ]
    for share in SHARES:
        late = [value for one in arrivals[share] for value in one.late_ms]
        rows.append({
            "load": f"service, {share:.0%} of capacity", "per s": over_rounds(rates[share]),
            **percentiles([one.latencies_ms for one in arrivals[share]]),
            "sent late p99 ms": round(percentile(late, 99), 2),
        })  # fmt: skip
    return {
        "bench": "latency", "model": asked.model, "precision": f"{bare.engine.precision} ({bare.engine.provider})",
        "rounds": asked.rounds, "seconds": asked.seconds, "capacity_generator": generator,
        "capacity per s": over_rounds(capacities),
        "added p50 ms": over_rounds(_added(service, alone, 50), 2),
        "added p99 ms": over_rounds(_added(service, alone, 99), 2),
        "rows": rows,
    }  # fmt: skip


def _added(service: list[list[float]], alone: list[list[float]], percent: float) -> list[float]:
    """Round by round: the percentile through the service less that of the bare loop."""
    return [percentile(one, percent) - percentile(other, percent) for one, other in zip(service, alone, strict=True)]


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--pictures", type=int, default=100, help="of each idle round, each side")
    line.add_argument("--seconds", type=float, default=20.0, help="of each open loop")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

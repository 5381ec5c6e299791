"""Open loop: requests leave at times drawn beforehand, whether or not earlier ones were answered.

Arrivals are a Poisson process with a seed, as those of many clients who know nothing of each other. A latency counts
from the moment at which its request was *meant* to leave, so a service that stalls pays for everybody who would have
come meanwhile (no coordinated omission), and so does a generator that falls behind.

    python -m bench.openloop PORT --image FILE --rate 50 --seconds 20 --seed 1      # prints one JSON document
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.closedloop import SPARE_S, LoadError
from bench.exchange import Post, detection, read_answer

KEPT_S = 2.0
"""A connection that was idle for longer is not used again: servers close such ones (uvicorn after 5 s)."""
CONNECTIONS = 256
"""Open at once, at most; a request that finds none waits for one, on its own clock."""


@dataclass(frozen=True)
class Arrivals:
    """What one open loop saw.

    Attributes:
        latencies_ms: from the intended moment of sending to the last byte of the answer.
        late_ms: from the intended to the real moment of sending: the generator's own fault.
    """

    latencies_ms: list[float]
    late_ms: list[float]


def schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds after the start at which requests leave: Poisson with `rate` per second."""
    chance, at, times = random.Random(seed), 0.0, list[float]()
    while (at := at + chance.expovariate(rate)) < seconds:
        times.append(at)
    return times


def open_loop(port: int, image: Path, *, rate: float, seconds: float, seed: int) -> Arrivals:
    """Load on 127.0.0.1:`port` from a process of its own. Raises LoadError: an answer was wrong or never came."""
    command = [sys.executable, "-m", "bench.openloop", str(port), "--image", str(image)]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--seed", str(seed)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + SPARE_S)
    if ran.returncode != 0:
        raise LoadError(f"the open loop ended with {ran.returncode}: {ran.stderr[-500:]}")
    return Arrivals(**json.loads(ran.stdout))


async def _drive(port: int, post: Post, times: list[float]) -> Arrivals:
    request, seen = post.raw(port), Arrivals([], [])
    idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []  # since when; the freshest last
    room = asyncio.Semaphore(CONNECTIONS)

    async def connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if idle and time.perf_counter() - idle[-1][0] < KEPT_S:
            return idle.pop()[1:]
        while idle:
            idle.pop()[2].close()
        return await asyncio.open_connection("127.0.0.1", port)

    async def one(meant: float) -> None:
        async with room:
            reader, writer = await connection()
            seen.late_ms.append(1000 * (time.perf_counter() - meant))
            writer.write(request)
            status, body = await read_answer(reader)
            seen.latencies_ms.append(1000 * (time.perf_counter() - meant))
            idle.append((time.perf_counter(), reader, writer))
        if wrong := post.wrong(status, body):
            raise LoadError(wrong)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for at in times:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            group.create_task(one(start + at))
    for _, _, writer in idle:
        writer.close()
    return seen


def main() -> None:
    """The generator's own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    seen = asyncio.run(_drive(asked.port, detection(asked.image), schedule(asked.rate, asked.seconds, asked.seed)))
    print(json.dumps({"latencies_ms": seen.latencies_ms, "late_ms": seen.late_ms}))


if __name__ == "__main__":
    main()

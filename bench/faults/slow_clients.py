"""Slow clients: connections that drip a header, drip a body, or say nothing, while others post jobs.

A paced load of jobs is timed alone, then beside `connections` slow ones; each of these is dialled again as soon as it
is cut. The deadlines are the service's defaults. Load and slow ones run in one process, on the cores of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field

from bench.arguments import say
from bench.exchange import read_answer
from bench.faults.scenario import Row, chance, conclude, parser, workplace
from bench.figures import percentile
from bench.front import Front

RATE = 100.0
"""Jobs a second of the others, over `CLIENTS` connections."""
CLIENTS = 10
DROP_S = 1.0
CUT_WITHIN_S = 15.0
HEAD = b"POST /jobs HTTP/1.1\r\nHost: spotter\r\nContent-Type: application/json\r\n"
KINDS = (b"", b"GET /healthz HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 100000\r\n\r\n")
"""What a slow client begins with: nothing, half a header, or a header whose body it then drips."""
JOB = json.dumps({"image": {"url": "https://example.com/dog.jpg"}}).encode()


@dataclass
class Seen:
    """Of the slow ones: how long each that was cut had lived; of the others: ms of each answer, and wrong ones."""

    lived_s: list[float] = field(default_factory=list)
    answers_ms: list[float] = field(default_factory=list)
    wrong: int = 0


async def _other(port: int, until: float, offset_s: float, seen: Seen) -> None:
    """One client that posts every `CLIENTS / RATE` s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(offset_s)
    due = time.perf_counter()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(JOB) + JOB)
        status, _ = await read_answer(reader)
        seen.answers_ms.append(1000 * (time.perf_counter() - began))
        seen.wrong += status != 202
        due += CLIENTS / RATE
    writer.close()


async def _slow(port: int, until: float, kind: bytes, offset_s: float, seen: Seen) -> None:
    """One slow client, dialling again whenever it is cut."""
    await asyncio.sleep(offset_s)
    while (began := time.perf_counter()) < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(kind)
        ended = asyncio.ensure_future(reader.read())
        while not ended.done() and time.perf_counter() < until:
            await asyncio.wait([ended], timeout=DROP_S)
            if kind and not ended.done():
                writer.write(b"x")
        if ended.done():
            seen.lived_s.append(time.perf_counter() - began)
        ended.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await ended
        writer.close()


async def _phase(port: int, seconds: float, slow: list[tuple[bytes, float]]) -> Seen:
    seen, until = Seen(), time.perf_counter() + seconds
    others = (_other(port, until, number / RATE, seen) for number in range(CLIENTS))
    await asyncio.gather(*others, *(_slow(port, until, kind, offset, seen) for kind, offset in slow))
    return seen


def run(asked: argparse.Namespace) -> Row:
    """`connections` slow ones for `duration` s, after as long without them."""
    random = chance(asked.seed, "slow")
    slow = [(random.choice(KINDS), random.uniform(0, DROP_S)) for _ in range(asked.connections)]
    with workplace("slow_clients") as (folder, models), Front(folder, models) as front:
        asyncio.run(_phase(front.port, 2.0, []))
        alone = asyncio.run(_phase(front.port, asked.duration, []))
        beside = asyncio.run(_phase(front.port, asked.duration, slow))
        say(f"{len(beside.lived_s)} slow connections were cut")
    before, after = percentile(alone.answers_ms, 99), percentile(beside.answers_ms, 99)
    longest = max(beside.lived_s, default=float("inf"))
    return Row(
        load=f"{RATE:.0f} jobs/s beside {asked.connections} slow connections",
        fault="they drip a header or a body, or say nothing, and come again when cut",
        reach=f"p99 of the others < 2 x that without them; slow ones cut in {CUT_WITHIN_S:.0f} s",
        measured={
            "jobs": len(beside.answers_ms), "wrong answers": alone.wrong + beside.wrong,
            "slow connections cut": len(beside.lived_s), "longest life of one s": round(longest, 1),
            "p99 without ms": round(before, 1), "p99 with ms": round(after, 1), "ratio": round(after / before, 2),
        },
        held=not alone.wrong + beside.wrong and longest <= CUT_WITHIN_S and after < 2 * before
        and len(beside.lived_s) >= asked.connections,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"connections": 500, "duration": 30.0}, {"connections": 60, "duration": 13.0}).read())


if __name__ == "__main__":
    main()

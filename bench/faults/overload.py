"""Overload: three times as many jobs as the workers can do, for as long as it is asked for.

What the workers can do is set by the pictures' server, which answers slowly, so that the load and the service do not
fight for the cores. First the peak is measured with a queue that never runs dry; then the offer is three times as much.
What is beyond the bound of the queue must be refused quickly, with `Retry-After`, at no cost to what is done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from dataclasses import dataclass, field

from bench.arguments import say
from bench.exchange import parse_head
from bench.faults.client import Client
from bench.faults.scenario import Row, chance, conclude, parser, workplace
from bench.faults.service import Service
from bench.faults.site import OPEN_NETWORK, Site
from bench.figures import percentile

SLOW_S = 0.1
THREADS = 4
QUEUE = 200
TIMES = 3
CLIENTS = 40
REFUSED_MS = 50.0
GOODPUT = 0.95
ENDED = re.compile(r"^spotter_jobs_ended_total\{.*\} ([0-9.]+)$", re.MULTILINE)
WAITING = re.compile(r"^spotter_queue_pictures\{.*\} ([0-9.]+)$", re.MULTILINE)


@dataclass
class Seen:
    """One phase: ms of each 202 and each refusal, refusals without `Retry-After`, other answers, depth, jobs ended."""

    taken_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    silent: int = 0
    wrong: int = 0
    deepest: int = 0
    ended_per_s: float = 0.0


def _metrics(client: Client) -> tuple[int, int]:
    """Jobs ended so far, and pictures waiting."""
    text = client.ask("GET", "/metrics").body.decode()
    return sum(int(float(n)) for n in ENDED.findall(text)), sum(int(float(n)) for n in WAITING.findall(text))


async def _send(port: int, key: str, bodies: list[bytes], rate: float, until: float, number: int, seen: Seen) -> None:
    """One client's share of the offer: a request every `CLIENTS / rate` s, as long as the last one is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due, at = time.perf_counter() + number / rate, number
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = bodies[at % len(bodies)]
        began = time.perf_counter()
        writer.write(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Authorization: Bearer %s\r\n"
                     b"Content-Length: %d\r\n\r\n" % (key.encode(), len(body)) + body)  # fmt: skip
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = parse_head(head)
        await reader.readexactly(length)
        took_ms = 1000 * (time.perf_counter() - began)
        if status == 202:
            seen.taken_ms.append(took_ms)
        elif status in (429, 503):
            seen.refused_ms.append(took_ms)
            seen.silent += b"retry-after:" not in head.lower()
        else:
            seen.wrong += 1
        due, at = due + CLIENTS / rate, at + CLIENTS
    writer.close()


async def _phase(service: Service, client: Client, bodies: list[bytes], rate: float, seconds: float) -> Seen:
    seen, began = Seen(), time.perf_counter()
    before, _ = await asyncio.to_thread(_metrics, client)
    until = began + seconds
    sending = asyncio.gather(
        *(_send(service.port, service.key, bodies, rate, until, number, seen) for number in range(CLIENTS))
    )
    while not sending.done():
        await asyncio.wait([sending], timeout=0.5)
        ended, waiting = await asyncio.to_thread(_metrics, client)
        seen.deepest = max(seen.deepest, waiting)
    await sending
    seen.ended_per_s = (ended - before) / (time.perf_counter() - began)
    return seen


def run(asked: argparse.Namespace) -> Row:
    """`duration` s at three times the peak, after `peak` s at half as much again as the workers can do."""
    settings = {"fetch_allow": OPEN_NETWORK, "concurrency": str(THREADS), "queue_limit": str(QUEUE)}
    with workplace("overload") as (folder, models), Site(chance(asked.seed, "site"), SLOW_S, SLOW_S) as site:
        bodies = [json.dumps({"image": {"url": site.url(number)}}).encode() for number in range(500)]
        with Service(folder, models, workers=1, settings=settings) as service:
            client = service.client()
            able = THREADS / SLOW_S
            asyncio.run(_phase(service, client, bodies, 1.5 * able, 5.0))
            peak = asyncio.run(_phase(service, client, bodies, 1.5 * able, asked.peak))
            say(f"peak: {peak.ended_per_s:.1f} jobs/s")
            over = asyncio.run(_phase(service, client, bodies, TIMES * peak.ended_per_s, asked.duration))
            client.close()
    refused = percentile(over.refused_ms, 99) if over.refused_ms else float("inf")
    kept = over.ended_per_s / peak.ended_per_s
    return Row(
        load=f"{TIMES} x the {peak.ended_per_s:.0f} jobs/s that the workers do, for {asked.duration:.0f} s",
        fault=f"the queue is bounded at {QUEUE} pictures",
        reach=f"depth within its bound, refusals < {REFUSED_MS:.0f} ms with Retry-After, "
              f"goodput >= {100 * GOODPUT:.0f} % of the peak",
        measured={
            "accepted": len(over.taken_ms), "refused": len(over.refused_ms), "other answers": over.wrong,
            "refusals without Retry-After": over.silent, "deepest queue": over.deepest,
            "p99 of refusals ms": round(refused, 1), "p99 of accepts ms": round(percentile(over.taken_ms, 99), 1),
            "goodput of peak": round(kept, 3),
        },
        held=over.deepest <= QUEUE and refused < REFUSED_MS and not over.silent + over.wrong and kept >= GOODPUT,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"duration": 180.0, "peak": 30.0}, {"duration": 15.0, "peak": 8.0}).read())


if __name__ == "__main__":
    main()

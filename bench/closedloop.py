"""Closed loop: each of N clients sends, waits for the answer, and sends the next, for some seconds.

The generator is `wrk` where it is installed, one thread with N connections, so that Python's own cost is not on the
bill; else a raw asyncio loop in a process of its own. Which one ran is in the result.

`wrk` fills its latency percentiles up for what a stalled connection did not send meanwhile (`stats_correct` of wrk 4),
the asyncio loop does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.exchange import TIMEOUT_S, Post, read_answer
from bench.figures import percentile

LUA = Path(__file__).with_name("post.lua")
SPARE_S = 90.0
"""A generator that is not done this long after its time is stuck."""
PERCENTILES = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}


class LoadError(Exception):
    """Some answer was wrong or never came: there is no rate to report."""


@dataclass(frozen=True)
class Load:
    """What one closed loop saw; latencies in ms, from the first byte sent to the last received."""

    generator: str
    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return self.requests / self.seconds


def generator() -> str:
    """`wrk` or `asyncio`."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def closed_loop(port: int, post: Post, *, clients: int, seconds: int) -> Load:
    """Load on 127.0.0.1:`port` for whole `seconds`.

    Raises:
        LoadError: an answer was wrong, or a connection failed.
    """
    command = _wrk(port, post, clients, seconds) if generator() == "wrk" else _asyncio(port, post, clients, seconds)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + SPARE_S)
    if ran.returncode != 0:
        raise LoadError(f"{command[0]} ended with {ran.returncode}: {ran.stderr[-500:] or ran.stdout[-500:]}")
    return parse(generator(), ran.stdout)


def parse(name: str, output: str) -> Load:
    """The generator's output, whose last line is JSON. Raises LoadError: answers were wrong or did not come."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    wrong, lost, example = (found.pop(key) for key in ("wrong", "lost", "example"))
    if wrong or lost or not found["requests"]:
        raise LoadError(f"of {found['requests']} answers {wrong} were wrong, {lost} did not come: {example}")
    return Load(generator=name, **found)


def _wrk(port: int, post: Post, clients: int, seconds: int) -> list[str]:
    return [
        "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S:.0f}s", "--latency", "-s", str(LUA),
        f"http://127.0.0.1:{port}{post.path}", "--",
        str(post.body), post.content_type, post.prefer, str(post.status), post.text,
    ]  # fmt: skip


def _asyncio(port: int, post: Post, clients: int, seconds: int) -> list[str]:
    told = json.dumps({"port": port, "clients": clients, "seconds": seconds, **asdict(post), "body": str(post.body)})
    return [sys.executable, "-m", "bench.closedloop", told]


async def _drive(port: int, post: Post, clients: int, seconds: float) -> dict[str, Any]:
    """The asyncio generator. What is under way at the end is not counted, as with wrk."""
    request, latencies, wrongs = post.raw(port), list[float](), list[str]()

    async def client(until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (start := time.perf_counter()) < until:
                writer.write(request)
                status, body = await read_answer(reader)
                if (end := time.perf_counter()) > until:
                    return
                latencies.append(1000 * (end - start))
                if wrong := post.wrong(status, body):
                    wrongs.append(wrong)
        finally:
            writer.close()

    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(until) for _ in range(clients)))
    shown = {key: round(percentile(latencies, share), 3) for key, share in PERCENTILES.items()} if latencies else {}
    counted = {"requests": len(latencies), "seconds": seconds, "wrong": len(wrongs), "lost": 0}
    return counted | {"example": wrongs[0] if wrongs else ""} | shown


def main() -> None:
    """The asyncio generator's own process; one JSON argument as `_asyncio` makes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("told")
    told = json.loads(parser.parse_args().told)
    port, clients, seconds = (told.pop(key) for key in ("port", "clients", "seconds"))
    post = Post(**{**told, "body": Path(told["body"])})
    print(json.dumps(asyncio.run(_drive(port, post, clients, seconds))))


if __name__ == "__main__":
    main()

"""How many pictures a second go through the whole service, and what share of the bare model's rate that is.

    python -m bench.throughput [--jobs 400] [--clients 16] [--rounds 3] [--image tests/pictures/dog.jpg]

Single-picture jobs (upload as the raw body) over HTTP into a local stack that this bench starts: a real server process
for the store, the API and one worker. Closed loop: each of the clients sends, waits for the finished job
(`Prefer: wait`), and sends the next. Beside it, in the same run and in turn with it, the bare loop: the same decode,
fit, model run and selection in one process without any service, pipelined over as many threads as the worker has, so
that it too fills the cores and forms batches. The ratio of the two is the answer; rates alone depend on the machine.

The clients run in a process of their own, which takes some of the same cores: the service pays for its load generator.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.local import Stack
from shared import manifest
from shared.schema import Options
from worker.batcher import Batcher
from worker.engine import Engine
from worker.image import Decoder, fit
from worker.select import select

WARM_UP = 40
"""Jobs before the clock starts, in every round."""


def bare_rate(image: bytes, pictures: int, threads: int, models: Path, precision: str) -> float:
    """Pictures per second of decode, fit, run, select without any service; the worker's own code and threads."""
    described, path = manifest.read(models, "yolov3-tiny")
    engine = Engine.load(path, described, provider="auto", precision=precision)
    engine.warm_up(8)
    decoder, options = Decoder(50_000_000, 1 << 30), Options()
    batcher = Batcher(engine.run, 8, capacity=threads)

    def one(_: int) -> int:
        pixels = decoder.decode(image)
        frame, placement = fit(pixels, described.frame, described.resize, described.interpolation)
        inferred = batcher.submit(frame).result(60)
        return len(select(inferred.output, options, described, placement))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(WARM_UP)))
        start = time.perf_counter()
        list(pool.map(one, range(pictures)))
        took = time.perf_counter() - start
    batcher.close(10)
    return pictures / took


async def _closed_loop(port: int, image: bytes, jobs: int, clients: int) -> list[float]:
    """Seconds from POST to the finished job, for each job. Raw asyncio HTTP/1.1: an ordinary client costs more CPU."""
    head = (
        f"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: image/jpeg\r\nPrefer: wait=30\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    ).encode()
    left = iter(range(jobs))
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            start = time.perf_counter()
            writer.write(head)
            writer.write(image)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            if body.get("status") != "succeeded":
                raise RuntimeError(f"a job did not succeed: {body}")
            latencies.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def drive(port: int, image: Path, jobs: int, clients: int) -> None:
    """The load generator's own process: prints its latencies and wall time as JSON."""
    data = image.read_bytes()
    asyncio.run(_closed_loop(port, data, WARM_UP, clients))
    start = time.perf_counter()
    latencies = asyncio.run(_closed_loop(port, data, jobs, clients))
    json.dump({"seconds": time.perf_counter() - start, "latencies": latencies}, sys.stdout)


def service_round(stack: Stack, image: Path, jobs: int, clients: int) -> tuple[float, list[float]]:
    """One round against the stack: pictures per second, and each job's latency in ms."""
    out = subprocess.run(
        [sys.executable, "-m", "bench.throughput", "--drive", str(stack.port), "--image", str(image),
         "--jobs", str(jobs), "--clients", str(clients)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    measured = json.loads(out.stdout)
    return jobs / measured["seconds"], [1000 * value for value in measured["latencies"]]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one precision, the bare loop and the service in turn."""
    models = Path(arguments.models_dir).resolve()
    image: Path = arguments.image
    bare: list[float] = []
    rates: list[float] = []
    latencies: list[float] = []
    for number in range(arguments.rounds):
        bare.append(_bare_in_own_process(arguments))
        with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), models, arguments.precision) as stack:
            rate, ms = service_round(stack, image, arguments.jobs, arguments.clients)
        rates.append(rate)
        latencies += ms
        print(
            f"round {number + 1}: bare {bare[-1]:.1f}/s, service {rate:.1f}/s, ratio {rate / bare[-1]:.3f}", flush=True
        )
    ratios = [rate / alone for rate, alone in zip(rates, bare, strict=True)]
    cut = statistics.quantiles(latencies, n=100)
    return {
        "bench": "throughput",
        "precision": arguments.precision,
        "clients": arguments.clients,
        "jobs": arguments.jobs,
        "rounds": arguments.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "pictures_per_s": round(statistics.median(rates), 1),
        "bare_pictures_per_s": round(statistics.median(bare), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "p50_ms": round(cut[49], 1),
        "p99_ms": round(cut[98], 1),
    }


def _bare_in_own_process(arguments: argparse.Namespace) -> float:
    """So that no memory, thread or compiled model of one round is there in the next."""
    out = subprocess.run(
        [sys.executable, "-m", "bench.throughput", "--bare", "--image", str(arguments.image), "--jobs",
         str(arguments.jobs), "--models-dir", arguments.models_dir, "--precision", arguments.precision],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return float(out.stdout)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", type=Path, default=Path("tests/pictures/dog.jpg"))
    parser.add_argument("--models-dir", default="models")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--drive", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.drive, arguments.image, arguments.jobs, arguments.clients)
    elif arguments.bare:
        models = Path(arguments.models_dir)
        print(bare_rate(arguments.image.read_bytes(), arguments.jobs, 8, models, arguments.precision))
    else:
        print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()

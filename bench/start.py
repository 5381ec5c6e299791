"""How soon a worker is ready, and how much memory it has over the model alone.

    python -m bench.start [--starts 5] [--seconds 30] [--rounds 3] [--precision bf16]

Cold start: from the start of the worker's process until the API calls the service ready (`GET /readyz`), and until the
first job, sent then, is finished; store and API being up and the model on disk (in the page cache, as it is on every
start but the first after a boot).

Memory: resident set (VmRSS) of a worker that has just become ready, and after loads of `--seconds` each; against that
of a process with the same model loaded and warmed (`bare session`) and after a bare loop (`bench.bare`). The last line
is one JSON document.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.bare import bare_run
from bench.closedloop import LoadError, closed_loop
from bench.exchange import detection, exchange
from bench.figures import over_rounds
from bench.front import Front
from bench.processes import resident_mb

BARE_PICTURES = 400
CLIENTS = 16


def cold_starts(front: Front, image: Path, starts: int) -> tuple[list[float], list[float]]:
    """Seconds from process start to ready, and to the first finished job; each worker is ended before the next."""
    post = detection(image)
    request, ready, first = post.raw(front.port), list[float](), list[float]()
    for _ in range(starts):
        begun = time.monotonic()
        worker, seconds = front.start_worker()
        with socket.create_connection(("127.0.0.1", front.port), timeout=30) as connection:
            status, body = exchange(connection, request)
        first.append(time.monotonic() - begun)
        ready.append(seconds)
        if wrong := post.wrong(status, body):
            raise LoadError(wrong)
        front.end_worker(worker)
        if front.answers("/readyz"):
            raise RuntimeError("the service calls itself ready without a worker: the next start cannot be timed")
    return ready, first


def worker_memory(front: Front, asked: argparse.Namespace) -> tuple[list[float], int]:
    """MB of one worker when ready and after each load, and the jobs that it did."""
    worker, _ = front.start_worker()
    sizes, jobs = [resident_mb(worker.pid)], 0
    for number in range(1, asked.rounds + 1):
        load = closed_loop(front.port, detection(asked.image), clients=CLIENTS, seconds=asked.seconds)
        jobs += load.requests
        sizes.append(resident_mb(worker.pid))
        say(f"load {number}: {jobs} jobs, {sizes[-1]:.0f} MB")
    front.end_worker(worker)
    return sizes, jobs


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Starts, then memory."""
    bares = [
        bare_run(asked.image, BARE_PICTURES, asked.models_dir, asked.model, asked.precision)
        for _ in range(asked.rounds)
    ]
    session, loop = [one.session_mb for one in bares], [one.loop_mb for one in bares]
    with (
        tempfile.TemporaryDirectory() as folder,
        Front(Path(folder), asked.models_dir, asked.precision, default_model=asked.model) as front,
    ):
        ready, first = cold_starts(front, asked.image, asked.starts)
        say(f"starts: {', '.join(f'{one:.2f} s' for one in ready)}")
        sizes, jobs = worker_memory(front, asked)
    rows = [
        {"process": "bare session, warm", "MB": over_rounds(session)},
        {"process": f"bare loop, after {BARE_PICTURES} pictures", "MB": over_rounds(loop)},
        {"process": "worker, ready", "MB": round(sizes[0], 1)},
        *(
            {"process": f"worker, after load {number}", "MB": round(size, 1)}
            for number, size in enumerate(sizes[1:], 1)
        ),
    ]
    return {
        "bench": "start", "model": asked.model, "precision": f"{bares[0].precision} ({bares[0].provider})",
        "start to ready s": over_rounds(ready, 2), "start to first job s": over_rounds(first, 2), "jobs": jobs,
        "worker over bare session MB": round(sizes[-1] - statistics.median(session), 1),
        "worker over bare loop MB": round(sizes[-1] - statistics.median(loop), 1),
        "growth over the last load MB": round(sizes[-1] - sizes[-2], 1),
        "rows": rows,
    }  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--starts", type=int, default=5)
    line.add_argument("--seconds", type=int, default=15, help="of each load")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

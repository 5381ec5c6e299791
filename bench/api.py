"""What one API process takes in: URL jobs, nobody working on them; and whether a deep queue makes a job dearer.

    python -m bench.api [--clients 8] [--seconds 5] [--rounds 3] [--deep]

Accepts: a real store and one API process, JSON bodies by `bench.closedloop`, every answer checked to be 202. Memory:
what the store's data grew by, over the jobs that came.

Depth: the same with 1,000 and with 100,000 jobs waiting (`--deep`: 1,000,000), in turn, each in a store of its own. The
jobs are put there by the store's own step `accept`. Besides the rate over HTTP, the time of the three steps of a job on
the store (accept, claim, finish), each the median of `STEPS` blocking calls. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.closedloop import Load, closed_loop
from bench.exchange import Post
from bench.figures import over_rounds, percentile, ratios
from bench.front import Front
from shared.ids import job_id
from shared.schema import Claim, JobSpec, ModelVersion, Options, PictureResult, UrlSource
from shared.steps import accept, claim, finish
from shared.store import JobStore
from shared.views import backlog

URL = "https://example.com/cameras/7/pictures/2026-11-21T08-30-00.jpg"
SHALLOW, DEEP, DEEPER = 1_000, 100_000, 1_000_000
ROOM = 3_000_000
"""SPOTTER_QUEUE_LIMIT; the default would refuse what this bench queues."""
STEPS = 500
WARM_UP_S = 1


@dataclass(frozen=True)
class Steps:
    """Microseconds of one call on the store, median of `STEPS`; the caller's part included."""

    accept_us: float
    claim_us: float
    finish_us: float

    @property
    def all_us(self) -> float:
        """Of one job."""
        return self.accept_us + self.claim_us + self.finish_us


def front(stack: ExitStack, asked: argparse.Namespace) -> Front:
    """A fresh store and API, with room for what comes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    made = Front(folder, asked.models_dir, maxmemory_bytes=8 << 30, queue_limit=str(ROOM))
    return stack.enter_context(made)


def data_bytes(one: Front) -> int:
    """Memory of the store's data: without buffers of connections and of the log, which come and go."""
    with one.client() as client:
        memory = client.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"]) - int(memory["mem_aof_buffer"])


def waiting(one: Front, model: str) -> int:
    """Jobs in the queue."""
    with one.client() as client:
        behind = JobStore(client).run(backlog())
    return behind[model].jobs if model in behind else 0


def accepting(one: Front, post: Post, asked: argparse.Namespace, seconds: int) -> tuple[Load, float]:
    """A closed loop of accepts, and the bytes that each job took in the store."""
    closed_loop(one.port, post, clients=asked.clients, seconds=WARM_UP_S)
    memory, jobs = data_bytes(one), waiting(one, asked.model)
    load = closed_loop(one.port, post, clients=asked.clients, seconds=seconds)
    return load, (data_bytes(one) - memory) / (waiting(one, asked.model) - jobs)


def _spec(model: str) -> JobSpec:
    return JobSpec(id=job_id(), model=model, options=Options(), priority="normal", total=1, deadline_s=21_600,
                   retain_s=86_400)  # fmt: skip


def fill(one: Front, model: str, jobs: int) -> float:
    """Queue so many jobs as the API does, without HTTP; the bytes that each took in the store."""
    source, before = UrlSource(url=URL), data_bytes(one)
    with one.client() as client:
        store = JobStore(client)
        for _ in range(jobs):
            store.run(accept(_spec(model), (source,), queue_limit=ROOM))
    return (data_bytes(one) - before) / jobs


def steps(one: Front, model: str) -> Steps:
    """Accept, claim and finish `STEPS` jobs each; as many wait afterwards as before."""
    source, by = UrlSource(url=URL), ModelVersion(name=model, version="1")
    result_of = PictureResult(index=0, status="succeeded", attempts=1, version="1", detections=())
    with one.client() as client:
        store = JobStore(client)
        accept_us = _median_us([lambda: store.run(accept(_spec(model), (source,), queue_limit=ROOM))] * STEPS)
        claims: list[Claim] = []

        def take() -> None:
            found: list[Claim] = store.run(claim(model, 1, 60.0))
            claims.extend(found)

        claim_us = _median_us([take] * STEPS)
        finish_us = _median_us([partial(store.run, finish(held, result_of, by)) for held in claims])
    if len(claims) != STEPS:
        raise RuntimeError(f"{len(claims)} jobs could be claimed where {STEPS} were expected")
    return Steps(accept_us, claim_us, finish_us)


def _median_us(calls: list[Callable[[], object]]) -> float:
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - start))
    return percentile(times, 50)


def accepts(asked: argparse.Namespace, post: Post) -> dict[str, Any]:
    """The rate of accepts from an empty queue on: a fresh store in each round."""
    loads, sizes = list[Load](), list[float]()
    for number in range(1, asked.rounds + 1):
        with ExitStack() as stack:
            load, size = accepting(front(stack, asked), post, asked, asked.seconds)
        loads.append(load)
        sizes.append(size)
        say(f"accepts, round {number}: {load.rate:.0f}/s, p99 {load.p99_ms:.1f} ms, {size:.0f} bytes a job")
    return {"queued before": 0, "accepts/s": over_rounds([load.rate for load in loads], 0),
            "p50 ms": over_rounds([load.p50_ms for load in loads], 2),
            "p99 ms": over_rounds([load.p99_ms for load in loads], 2),
            "bytes/job": over_rounds(sizes, 0)}  # fmt: skip


def depths(asked: argparse.Namespace, post: Post) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The shallow and the deep queue in turn. Rows, and the ratios of deep to shallow."""
    deep = DEEPER if asked.deep else DEEP
    loads: dict[int, list[Load]] = {SHALLOW: [], deep: []}
    sizes: dict[int, list[float]] = {SHALLOW: [], deep: []}
    taken: dict[int, list[Steps]] = {SHALLOW: [], deep: []}
    with ExitStack() as whole:
        long = front(whole, asked)
        sizes[deep].append(fill(long, asked.model, deep))
        for number in range(1, asked.rounds + 1):
            with ExitStack() as stack:
                short = front(stack, asked)  # a fresh one in each round, since the load itself makes it deeper
                sizes[SHALLOW].append(fill(short, asked.model, SHALLOW))
                for depth, one in ((SHALLOW, short), (deep, long)):
                    steps(one, asked.model)  # a fresh server first meets its memory and its scripts
                    taken[depth].append(steps(one, asked.model))
                    loads[depth].append(accepting(one, post, asked, max(2, asked.seconds // 2))[0])
            say(f"depth, round {number}: " + ", ".join(
                f"{depth}: {loads[depth][-1].rate:.0f}/s, {taken[depth][-1].all_us:.0f} us" for depth in loads
            ))  # fmt: skip
    rows = [
        {"queued before": depth, "accepts/s": over_rounds([load.rate for load in loads[depth]], 0),
         "p50 ms": over_rounds([load.p50_ms for load in loads[depth]], 2),
         "p99 ms": over_rounds([load.p99_ms for load in loads[depth]], 2),
         "bytes/job": over_rounds(sizes[depth], 0),
         "accept us": over_rounds([one.accept_us for one in taken[depth]], 0),
         "claim us": over_rounds([one.claim_us for one in taken[depth]], 0),
         "finish us": over_rounds([one.finish_us for one in taken[depth]], 0)}
        for depth in loads
    ]  # fmt: skip
    http = ratios([load.rate for load in loads[SHALLOW]], [load.rate for load in loads[deep]])
    store = ratios([one.all_us for one in taken[deep]], [one.all_us for one in taken[SHALLOW]])
    compared = f"{deep:,} to {SHALLOW:,} queued"
    return rows, {
        f"cost of an accept over HTTP, {compared}": over_rounds(http, 3),
        f"cost of a job on the store, {compared}": over_rounds(store, 3),
    }


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Accepts, then depth."""
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "job.json"
        body.write_text(json.dumps({"image": {"url": URL}, "model": asked.model}))
        post = Post("/jobs", body, "application/json", status=202, text='"status":"queued"')
        first = accepts(asked, post)
        rows, compared = depths(asked, post)
    return {"bench": "api", "clients": asked.clients, "rounds": asked.rounds, "seconds": asked.seconds, **compared,
            "rows": [first, *rows]}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--clients", type=int, default=8)
    line.add_argument("--seconds", type=int, default=5)
    line.add_argument("--deep", action="store_true", help="a million jobs in the deep queue")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

"""How soon a change of a job reaches those who wait for it: streams of events and long-polls on one API process.

    python -m bench.listeners [--listeners 1000] [--only own,mixed,one,bare] [--seconds 8] [--rate 20] [--bursts 8]

A real store and one API process of their own; so many streams and as many long-polls are held by this process, over raw
sockets, on the cores that are measured. A delay runs from just before the call on the store that changes the job until
the bytes are here.

    own     each job has one stream and one long-poll; `rate` jobs a second change, each its first time
    mixed   half of the listeners as in `own`; the other half on a single job that changes once a second meanwhile
    one     all listen to a single job: each of `bursts` is one change of it, told to everybody
    bare    as `one`, by a server that writes the same number of bytes to all its connections and does nothing else

Long-polls ask again as soon as they are answered. `lag` is how late this process itself is, which is in every delay.
Commands are what INFO commandstats counts, while nothing changes and for each change; those of this bench are left out,
and the store's sweeps are put off.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
import uvloop

from bench.arguments import parser, result, say
from bench.figures import over_rounds, percentile
from bench.front import Front
from bench.listening import ANSWER_S, Audience, Lag, Listener, Told, listening, serve_bare
from bench.processes import resident_mb
from shared.ids import job_id
from shared.schema import JobSpec, ModelVersion, Options, PictureResult, UrlSource
from shared.steps import accept, claim, finish
from shared.store import JobStore

SITUATIONS = ("own", "mixed", "one", "bare")
QUIET_S = 4.0
ASKED = ("evalsha", "info", "ping")
"""What an API process asks the store for: looks and steps; its memory, once a second; whether it is there."""
BURST_S = 0.5
BARE_BYTES = 250
"""A picture's event."""
SOURCE = UrlSource(url="https://example.com/dog.jpg")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Jobs:
    """Plays clients and workers on the store, blocking, outside of the event loop; counts its own scripts."""

    def __init__(self, store: JobStore, model: str) -> None:
        self._store, self._model, self.scripts = store, model, 0

    def send(self, total: int = 1) -> str:
        """A job that waits."""
        spec = JobSpec(id=job_id(), model=self._model, options=Options(), priority="normal", total=total,
                       deadline_s=3600, retain_s=600)  # fmt: skip
        self._store.run(accept(spec, [SOURCE] * total, queue_limit=1_000_000))
        return spec.id

    def begin(self) -> tuple[str, float]:
        """The first waiting job becomes running: its id, and the time just before."""
        self.scripts += 1
        before = time.perf_counter()
        (held,) = self._store.run(claim(self._model, 1, 600.0))
        return held.job.id, before

    def end_one(self) -> float:
        """A further picture is taken, which nobody hears of, and gets its result: the time just before that."""
        self.scripts += 2
        (held,) = self._store.run(claim(self._model, 1, 600.0))
        done = PictureResult(index=held.index, status="succeeded", attempts=1, detections=())
        before = time.perf_counter()
        self._store.run(finish(held, done, ModelVersion(name=self._model, version="1")))
        return before


def commands(client: redis.Redis) -> dict[str, int]:
    """By name, what the store has been asked for. What a script calls inside is counted, too."""
    return {name.removeprefix("cmdstat_"): of["calls"] for name, of in client.info("commandstats").items()}


async def quiet(front: Front, client: redis.Redis) -> str:
    """Commands a second while nothing changes."""
    await idle(front)
    before, begun = commands(client), time.monotonic()
    await asyncio.sleep(QUIET_S)
    after, took = commands(client), time.monotonic() - begun
    after["info"] -= 1
    return ", ".join(f"{name} {(after.get(name, 0) - before.get(name, 0)) / took:.1f}" for name in ASKED)


async def idle(front: Front) -> None:
    """The API has nothing left to do: less than 5 % of a core."""

    def used() -> float:
        fields = Path(f"/proc/{front.api_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    deadline = time.monotonic() + ANSWER_S
    while True:
        before = used()
        await asyncio.sleep(0.4)
        if used() - before <= 0.02:
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the API has still something to do")


async def own(
    front: Front, asked: argparse.Namespace, store: JobStore, client: redis.Redis, *, share: float = 1.0
) -> dict[str, Any]:
    """`own`, and with a `share` below 1 `mixed`: the rest of the listeners are on one job."""
    each, shared_by = int(asked.listeners * share), asked.listeners - int(asked.listeners * share)
    jobs, common = Jobs(store, f"own-{share}-{time.time()}"), Jobs(store, f"common-{share}-{time.time()}")
    names = [jobs.send() for _ in range(each)]
    nobody, before_mb = await quiet(front, client), resident_mb(front.api_pid)
    audience = dict(zip(names, zip(*_sides(await Audience.of(front.port, names)), strict=True), strict=True))
    together = Audience([], [])
    if shared_by:
        bulk = common.send(int(asked.seconds) + 2)
        common.end_one()
        together = await Audience.of(front.port, [bulk] * shared_by)
    nothing, listened_mb = await quiet(front, client), resident_mb(front.api_pid)
    for stream, _ in audience.values():
        stream.forget()
    few, all_of_one, waiting = Told(), Told(), list[asyncio.Task[None]]()
    before, own_before = commands(client)["evalsha"], jobs.scripts + common.scripts
    changes = min(each, int(asked.rate * asked.seconds))
    begun = time.perf_counter()
    async with Lag() as lag:
        for number in range(changes):
            job, at = await asyncio.to_thread(jobs.begin)
            stream, poll = audience[job]
            waiting.append(asyncio.create_task(Audience([stream], [poll]).heard(at, few, again=False)))
            if shared_by and number % asked.rate == 0:
                together.forget()
                at = await asyncio.to_thread(common.end_one)
                waiting.append(asyncio.create_task(together.heard(at, all_of_one, again=True)))
            await asyncio.sleep(max(0.0, begun + (number + 1) / asked.rate - time.perf_counter()))
        await asyncio.gather(*waiting)
    spent = commands(client)["evalsha"] - before - (jobs.scripts + common.scripts - own_before)
    together.close()
    Audience([stream for stream, _ in audience.values()], [poll for _, poll in audience.values()]).close()
    return {"changes": len(waiting), "commands/s before anybody listens": nobody, "commands/s while quiet": nothing,
            "scripts of the API per change": round(spent / len(waiting), 2),
            "kB a listener": round((listened_mb - before_mb) * 1e3 / 2 / asked.listeners, 1), **few.shown(),
            **({f"one job: {name}": value for name, value in all_of_one.shown().items()} if shared_by else {}),
            "lag p99 ms": round(1e3 * percentile(lag.late, 99), 1)}  # fmt: skip


def _sides(audience: Audience) -> tuple[list[Listener], list[Listener]]:
    return audience.streams, audience.polls


async def one(front: Front, asked: argparse.Namespace, store: JobStore, client: redis.Redis) -> dict[str, Any]:
    """All on one job; first the streams alone, then with the long-polls."""
    jobs = Jobs(store, f"one-{time.time()}")
    job = jobs.send(2 * asked.bursts + 2)
    jobs.end_one()
    row: dict[str, Any] = {"changes": asked.bursts}
    for polls in (False, True):
        audience = await Audience.of(front.port, [job] * asked.listeners, polls=polls)
        nothing, told, spent = await quiet(front, client), Told(), 0
        async with Lag() as lag:
            for _ in range(asked.bursts):
                audience.forget()
                before, own_before = commands(client)["evalsha"], jobs.scripts
                at = await asyncio.to_thread(jobs.end_one)
                await audience.heard(at, told, again=False)
                spent += commands(client)["evalsha"] - before - (jobs.scripts - own_before)
                for poll in audience.polls:
                    poll.ask()
                await idle(front)
        audience.close()
        found = {"commands/s while quiet": nothing, "scripts of the API per change": spent / asked.bursts,
                 **told.shown(), "lag p99 ms": round(1e3 * percentile(lag.late, 99), 1)}  # fmt: skip
        row |= found if polls else {f"streams alone: {name}": value for name, value in found.items()}
        await idle(front)
    return row


@contextmanager
def bare_server(size: int) -> Iterator[tuple[int, Any]]:
    """Its port, and where its orders go."""
    orders, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(theirs, size))
    process.start()
    try:
        yield orders.recv(), orders
    finally:
        orders.send(None)
        process.join(ANSWER_S)


async def bare(asked: argparse.Namespace) -> dict[str, Any]:
    """The floor: what these sockets and this process take."""
    told = Told()
    with bare_server(BARE_BYTES) as (port, orders):
        audience = Audience(await listening(port, ["/"] * 2 * asked.listeners), [])
        await asyncio.sleep(BURST_S)
        async with Lag() as lag:
            for _ in range(asked.bursts):
                audience.forget()
                at = time.perf_counter()
                orders.send("all")
                await audience.heard(at, told, again=False)
                await asyncio.sleep(BURST_S)
        audience.close()
    return told.shown() | {"lag p99 ms": round(1e3 * percentile(lag.late, 99), 1)}


async def measure(front: Front, asked: argparse.Namespace) -> dict[str, Any]:
    """Every situation, in rounds."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.only.split(",")}
    with front.client() as client:
        store = JobStore(client)
        ways = {
            "own": lambda: own(front, asked, store, client),
            "mixed": lambda: own(front, asked, store, client, share=0.5),
            "one": lambda: one(front, asked, store, client),
            "bare": lambda: bare(asked),
        }
        memory = [round(resident_mb(front.api_pid))]
        for number in range(asked.rounds):
            for name, found in rows.items():
                found.append(await ways[name]())
                say(f"round {number + 1}, {name}: {found[-1]}")
                await idle(front)
            memory.append(round(resident_mb(front.api_pid)))
    return {"bench": "listeners", "listeners": asked.listeners, "rounds": rows,
            "medians": {name: _medians(found) for name, found in rows.items()},
            "API MB before, after each round": memory}  # fmt: skip


def _medians(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: over_rounds([row[name] for row in rows]) for name, value in rows[0].items()
            if not isinstance(value, str)}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--listeners", type=int, default=1000, help="streams, and as many long-polls")
    line.add_argument("--only", default=",".join(SITUATIONS))
    line.add_argument("--seconds", type=float, default=8.0, help="of own and mixed")
    line.add_argument("--rate", type=int, default=20, help="changes a second")
    line.add_argument("--bursts", type=int, default=8)
    asked = line.parse_args()
    most = str(2 * asked.listeners + 64)
    bounds = ("max_listeners", "owner_listeners", "max_connections")
    more: dict[str, Any] = dict.fromkeys(bounds, most) if asked.listeners > 1000 else {}
    more["sweep_s"] = "60"  # its scripts would be the only ones while nothing changes
    with (
        tempfile.TemporaryDirectory(prefix="spotter-listeners-") as name,
        Front(Path(name), Path(name), **more) as front,
    ):
        result(uvloop.run(measure(front, asked)))


if __name__ == "__main__":
    main()

"""Poison pictures: among ordinary jobs some whose decoder crashes, at every attempt, in whatever process decodes it.

Workers that die are started again at once, as a supervisor would. In full: 20 crashes (SIGSEGV and SIGKILL in turn)
among 2,000 jobs; each must be in the dead-letter list after at most three attempts, and every other job must succeed.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.arguments import say
from bench.crashing import CRASH, DIE, install, marked
from bench.faults.client import Client
from bench.faults.ledger import Ledger
from bench.faults.load import Load
from bench.faults.scenario import OUT, Row, chance, conclude, parser, workplace
from bench.faults.service import Service
from bench.faults.site import OPEN_NETWORK, Site
from bench.faults.under_load import UnderLoad
from bench.faults.watch import Watcher

RATE = 40.0
"""Jobs a second."""
SLOW_S = (0.0, 0.2)
SETTLE_S = 240.0
MAX_ATTEMPTS = 3


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `crashes` of them poison, over `workers` workers with leases of `lease` s."""
    poison = set(chance(asked.seed, "poison").sample(range(asked.jobs), asked.crashes))
    crash = {number: (CRASH, DIE)[at % 2] for at, number in enumerate(sorted(poison))}
    settings = {"sweep_s": "1", "lease_s": str(asked.lease), "max_attempts": str(MAX_ATTEMPTS),
                "fetch_allow": OPEN_NETWORK}  # fmt: skip
    with workplace("poison") as (folder, models), Site(chance(asked.seed, "site"), *SLOW_S) as site:
        env = _crashing(folder)

        def make(number: int) -> dict[str, Any]:
            if number in crash:
                return {"image": {"base64": base64.b64encode(marked(crash[number])).decode()}}
            return {"image": {"url": site.url(number)}}

        ledger = Ledger(OUT / "poison.ledger.jsonl")
        with Service(folder, models, workers=asked.workers, env=env, settings=settings) as service:
            load = Load(service.client, ledger, make, total=asked.jobs, rate=RATE, chance=chance(asked.seed, "load"),
                        name=f"poison-{asked.seed}")  # fmt: skip
            fire = UnderLoad(
                service, site, ledger, load, Watcher(service.client, ledger, chance(asked.seed, "watcher"))
            )
            load.start()
            fire.watcher.start()
            deaths = _settle(fire)
            client = service.client()
            dead = _dead(client)
            client.close()
            ended_decoders = fire.said("a picture ended its decoder")
    return _row(asked, fire, poison, dead, deaths, ended_decoders)


def _crashing(folder: Path) -> Mapping[str, str]:
    """What the service's processes are started with, so that marked pictures crash."""
    place = folder / "crashing"
    place.mkdir()
    install(place)
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))}


def _settle(fire: UnderLoad) -> int:
    """Until every job is final; workers that die meanwhile are started again. How many did."""
    deaths = 0
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(fire.settle, SETTLE_S)
        while not settled.done():
            for name in fire.service.workers:
                try:
                    code = fire.service.ended(name, 0.02)
                except subprocess.TimeoutExpired:
                    continue
                deaths += 1
                say(f"{name} ended with {code}; {len(fire.ledger)} jobs accepted")
                fire.service.start(name)
            time.sleep(0.1)
        settled.result()
    fire.service.await_workers()
    return deaths


def _dead(client: Client) -> list[dict[str, Any]]:
    """The whole dead-letter list."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = client.ask("GET", f"/admin/dead?limit=100{after}").json()
        found += page["dead"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def _row(
    asked: argparse.Namespace, fire: UnderLoad, poison: set[int], dead: list[dict[str, Any]], deaths: int, decoders: int
) -> Row:
    given_up = {number for number, one in fire.ended.items() if one.codes == ("poison",)}
    fine = {number for number, one in fire.ended.items() if one.status == "succeeded"}
    attempts = [one["attempts"] for one in dead]
    others = max((one.attempts for number, one in fire.ended.items() if number not in poison), default=0)
    listed = {one["job"] for one in dead}
    same = listed == {entry.id for entry in fire.ledger.entries() if int(entry.key.rpartition("-")[2]) in poison}
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.crashes} pictures whose decoder crashes, over {asked.workers} workers",
        reach=f"all of these dead-lettered after <= {MAX_ATTEMPTS} attempts, all others succeed",
        measured=fire.measured | {
            "dead-lettered": len(dead), "most attempts of one": max(attempts, default=0),
            "others that failed": len(given_up - poison), "workers that ended": deaths,
            "child processes that ended": decoders,
            "most attempts of another": others,
        },
        held=fire.kept and given_up == poison and same and len(fine) == asked.jobs - asked.crashes
        and max(attempts, default=0) <= MAX_ATTEMPTS,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"jobs": 2000, "crashes": 20, "workers": 3, "lease": 10.0}
    conclude(run, parser(__doc__, full, {"jobs": 120, "crashes": 4, "workers": 2, "lease": 2.0}).read())


if __name__ == "__main__":
    main()

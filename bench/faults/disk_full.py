"""Disk full: the store's append-only file cannot grow for a while, and then it can again.

The bound is a limit of the process on the size of its files (`prlimit`, RLIMIT_FSIZE): the server's writes fail as on a
full disk, with EFBIG in place of ENOSPC, and it needs neither rights nor a file system of its own. What a store cannot
write down must be answered 503; what runs is kept in hand; and work must go on when there is room.
"""

from __future__ import annotations

import argparse
import resource
import time

from bench.arguments import say
from bench.faults.scenario import Row, chance, conclude, parser
from bench.faults.service import Service
from bench.faults.under_load import UnderLoad, under_load
from bench.faults.valkey_kills import TENTH, after

SLOW_S = (0.3, 0.9)
GAP_S = (3.0, 6.0)
"""From the return of room to the next time that there is none."""
WITHIN_S = 5.0
NOTICED_S = 20.0
NO_BOUND = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def run(asked: argparse.Namespace) -> Row:
    """`jobs` jobs, `times` times a full disk for `seconds` s, leases of `lease` s, `workers` workers."""
    dice, full = chance(asked.seed, "disk"), list[tuple[float, float]]()
    rate = asked.jobs / (asked.times * (max(GAP_S) + asked.seconds))
    with under_load("disk_full", asked, rate=rate, slow_s=SLOW_S, workers=asked.workers,
                    lease_s=str(asked.lease)) as fire:  # fmt: skip
        for number in range(1, asked.times + 1):
            time.sleep(dice.uniform(*GAP_S))
            pid = fire.service.pid("valkey")
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (written(fire.service), resource.RLIM_INFINITY))
            _await_refusal(fire)
            noticed = time.time()
            time.sleep(asked.seconds)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, NO_BOUND)
            full.append((noticed, time.time()))
            say(f"full {number} times, {len(fire.ledger)} jobs accepted, {len(fire.site.fetched())} begun")
        fire.settle(300)
        resumed = [after(room, fire.site.since(room)[TENTH - 1 :]) for _, room in full]
    false = fire.load.taken_within(full)
    refused = [one for one in fire.load.refused if any(down - 1 <= one.at <= room + 2 for down, room in full)]
    again = sum(one.attempts > 1 for one in fire.ended.values())
    return Row(
        load=f"{asked.jobs:,} jobs",
        fault=f"{asked.times} times a store that cannot write its log (AOF everysec), for {asked.seconds:g} s, "
        f"leases of {asked.lease:g} s",
        reach=f"0 lost; 503 meanwhile, no 202; nothing tried twice; work goes on <= {WITHIN_S:g} s after there is room",
        measured=fire.measured | {
            "503 while full": len(refused), "202 while full": false,
            "slowest 503 ms": round(max((one.took_ms for one in refused), default=0.0)),
            "work again after s": sorted(resumed), "second attempts": again,
        },
        held=fire.kept and fire.verdict.jobs == asked.jobs and not false and not again
        and len(refused) >= asked.times and max(resumed) <= WITHIN_S,
    )  # fmt: skip


def written(service: Service) -> int:
    """Bytes of the store's log, which is one file and a small beginning in another."""
    with service.store() as store:
        return int(store.info("persistence")["aof_current_size"])


def _await_refusal(fire: UnderLoad) -> None:
    """Until the API has refused a job, which is when the store has noticed. Raises TimeoutError."""
    before, deadline = len(fire.load.refused), time.monotonic() + NOTICED_S
    while len(fire.load.refused) == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no job was refused in {NOTICED_S:g} s")
        time.sleep(0.02)


def main() -> None:
    """The command line."""
    full = {"jobs": 3_000, "times": 8, "seconds": 15.0, "workers": 3, "lease": 10.0}
    short = {"jobs": 100, "times": 2, "seconds": 4.0, "workers": 1, "lease": 3.0}
    conclude(run, parser(__doc__, full, short).read())


if __name__ == "__main__":
    main()

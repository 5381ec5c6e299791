"""What the processes and the store hold, moment by moment, and whether it stays so: figures, and a line through them.

Knows no load. The store is looked at past the service, by a user that may see all keys and change none.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.arguments import say
from bench.processes import resident_mb

Series = list[tuple[float, float]]
"""Seconds since the first look, and the figure."""

EVERY_S = 5.0
SAMPLES = 100
"""Keys of a family whose size is asked for; the mean of these stands for all."""
KEPT = ("idem", "hook", "deliveries", "undelivered")
"""Families that outlive a job on purpose: its idempotency key (a day) and the log of its webhooks (a week; of an
owner's the last 10,000). They grow during a run, so their bytes are taken off before the store is called flat."""
INDEXES = ("jobs", "expiry", "deadlines", "leases", "turns", "dead")
"""Families whose members are jobs or pictures. Of these and of `PER_JOB` nothing may be left when the last job is past
its retention: an empty list, set or hash is no key."""
PER_JOB = ("job", "todo", "done", "blob", "note", "queue")
"""Families with keys of a single job each."""


@dataclass(frozen=True)
class Trend:
    """A straight line (least squares) through the last two thirds of a series.

    Attributes:
        mean: of the figures.
        per_10_min: slope, in the figure's unit for each ten minutes.
        rise: from the first to the last of these moments along the line.
        noise: standard deviation of the figures around the line.
    """

    mean: float
    per_10_min: float
    rise: float
    noise: float

    @property
    def percent(self) -> float:
        """The slope as percent of the mean, for each ten minutes."""
        return 100 * self.per_10_min / self.mean

    @property
    def within_noise(self) -> bool:
        """Whether the line rises by no more than twice the noise around it, or two of a thing."""
        return self.rise <= max(2.0, 2 * self.noise)


def trend(series: Series) -> Trend:
    """See `Trend`. Raises StatisticsError: fewer than two moments are left."""
    late = series[len(series) // 3 :]
    at, figures = [at for at, _ in late], [figure for _, figure in late]
    line = statistics.linear_regression(at, figures)
    around = [figure - line.intercept - line.slope * moment for moment, figure in late]
    return Trend(statistics.fmean(figures), 600 * line.slope, line.slope * (at[-1] - at[0]), statistics.pstdev(around))


def family(key: str) -> str:
    """`spotter:job:job_1` -> `job`; the broker's keys by their first word."""
    return key.removeprefix("spotter:").partition(":")[0].partition(".")[0]


class Gauges:
    """Looks every `EVERY_S` seconds, beside what else is going on.

    Args:
        pids: processes by name.
        store: a connection of its own.

    Attributes:
        series: by name: `api MB`, `api threads`, `api files`, ..., `store used MB`, `keys job`, `entries`, ...
    """

    def __init__(self, pids: Mapping[str, int], store: redis.Redis, every_s: float = EVERY_S) -> None:
        self._pids, self._store, self._every_s = pids, store, every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gauges", daemon=True)
        self._begun = time.monotonic()
        self._families: set[str] = set()
        self.series: dict[str, Series] = defaultdict(list)
        self.failed: list[str] = []

    def start(self) -> None:
        """Begin to look."""
        self._begun = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Raises RuntimeError: some look failed, so the series have gaps."""
        self._stopping.set()
        self._thread.join(60)
        if self.failed:
            raise RuntimeError(f"the gauges could not look: {self.failed[0]}")

    def keys(self) -> dict[str, int]:
        """The number of keys by family, now; those that passed are 0."""
        found = self._scan()
        return dict.fromkeys(self._families, 0) | {name: len(keys) for name, keys in found.items()}

    def cpu_s(self) -> float:
        """Processor time of all processes together since they were started (proc(5): utime and stime)."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids.values()]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    def _watch(self) -> None:
        told = 0.0
        while not self._stopping.wait(self._every_s):
            at = time.monotonic() - self._begun
            try:
                seen = self._processes() | self._of_store()
                seen["valkey MB"] -= seen["store kept MB"]
            except (OSError, redis.RedisError) as error:
                self.failed.append(repr(error))
                continue
            for name, figure in seen.items():
                self.series[name].append((at, figure))
            if at > told + 60:
                told = at
                told_of = [*(f"{name} MB" for name in self._pids), "store used MB", "keys job", "store entries"]
                say(f"{at:.0f} s: {', '.join(f'{name} {seen.get(name, 0):.0f}' for name in told_of)}")

    def _processes(self) -> dict[str, float]:
        seen = {}
        for name, pid in self._pids.items():
            process = Path(f"/proc/{pid}")
            seen[f"{name} MB"] = resident_mb(pid)
            seen[f"{name} threads"] = float(len(list((process / "task").iterdir())))
            seen[f"{name} files"] = float(len(list((process / "fd").iterdir())))
        return seen

    def _of_store(self) -> dict[str, float]:
        found = self._scan()
        kept_mb = sum(self._bytes(found.get(name, [])) for name in KEPT) / 1e6
        used_mb = self._store.info("memory")["used_memory"] / 1e6
        self._families |= found.keys()
        counted = {f"keys {name}": float(len(found.get(name, []))) for name in self._families}
        return counted | {
            "store used MB": used_mb - kept_mb,
            "store kept MB": kept_mb,
            "store entries": self._entries(found),
        }

    def _scan(self) -> dict[str, list[bytes]]:
        found = defaultdict(list)
        for key in self._store.scan_iter(count=1000):
            found[family(key.decode())].append(key)
        return dict(found)

    def _bytes(self, keys: Sequence[bytes]) -> float:
        """Of all these together, from the size of some."""
        some = keys[:: max(1, len(keys) // SAMPLES)]
        with self._store.pipeline(transaction=False) as pipe:
            for key in some:
                pipe.memory_usage(key)
            sizes = [size for size in pipe.execute() if size is not None]
        return len(keys) * statistics.fmean(sizes) if sizes else 0.0

    def _entries(self, found: Mapping[str, Sequence[bytes]]) -> float:
        """Members of all lists, sets and hashes that belong to no single job: what a count of keys does not show."""
        shared = [key for name, keys in found.items() if name not in (*PER_JOB, *KEPT) for key in keys]
        ask = {b"zset": "ZCARD", b"hash": "HLEN", b"list": "LLEN", b"set": "SCARD"}
        with self._store.pipeline(transaction=False) as pipe:
            for key in shared:
                pipe.type(key)
            kinds = pipe.execute()
        with self._store.pipeline(transaction=False) as pipe:
            for key, kind in zip(shared, kinds, strict=True):
                if kind in ask:
                    pipe.execute_command(ask[kind], key)
            return float(sum(pipe.execute()))

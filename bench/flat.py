"""Whether processes keep their size: memory, threads and files of one worker and one API process over many jobs.

    python -m bench.flat [--jobs 100000] [--steps 20] [--tiny]

One worker, one API process, one picture a job with `Prefer: wait`, 16 clients. After each step VmRSS, threads and open
files are read. The slope is that of a straight line through the second half of the steps (least squares), told per
10,000 jobs: what a process needs only once, such as stacks of threads and buffers of the allocator, comes in the first
half. `--tiny` takes a model of next to no cost, so that the same number of jobs takes a third of the time. Results and
uploads are kept for a minute, so that the store does not fill up. The last line is one JSON document.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.closedloop import closed_loop
from bench.exchange import detection
from bench.front import Front
from bench.processes import resident_mb
from bench.tiny_model import make_models

CLIENTS = 16
STEP_S = 15
PER = 10_000


@dataclass(frozen=True)
class Size:
    """One process after so many jobs."""

    jobs: int
    mb: float
    threads: int
    files: int


def size(pid: int, jobs: int) -> Size:
    """As the kernel sees the process now."""
    process = Path(f"/proc/{pid}")
    return Size(jobs, resident_mb(pid), len(list((process / "task").iterdir())), len(list((process / "fd").iterdir())))


def slope(sizes: list[Size]) -> float:
    """MB for each 10,000 jobs, over the second half."""
    late = sizes[len(sizes) // 2 :]
    return statistics.linear_regression([one.jobs for one in late], [one.mb for one in late]).slope * PER


def measure(image: Path, models: Path, model: str, precision: str, most: int) -> dict[str, Any]:
    """Load in steps until `most` jobs are done."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Front(Path(folder), models, precision, default_model=model, retain_s="60", upload_keep_s="1") as front,
    ):
        worker, _ = front.start_worker()
        watched = {"worker": worker.pid, "api": front.api_pid}
        sizes: dict[str, list[Size]] = {name: [size(pid, 0)] for name, pid in watched.items()}
        jobs = 0
        while jobs < most:
            jobs += closed_loop(front.port, detection(image), clients=CLIENTS, seconds=STEP_S).requests
            for name, pid in watched.items():
                sizes[name].append(size(pid, jobs))
            say(f"{jobs} jobs: " + ", ".join(f"{name} {sizes[name][-1]}" for name in watched))
        front.end_worker(worker)
    return {
        "bench": "flat", "model": model, "jobs": jobs,
        "rows": [
            {
                "process": name,
                "MB at the start": round(those[0].mb, 1),
                "MB after the first step": round(those[1].mb, 1),
                "MB half-way": round(those[len(those) // 2].mb, 1),
                "MB at the end": round(those[-1].mb, 1),
                f"MB per {PER} jobs, second half": round(slope(those), 2),
                "threads": [those[1].threads, those[-1].threads],
                "files": [those[1].files, those[-1].files],
            }
            for name, those in sizes.items()
        ],
    }  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--jobs", type=int, default=100_000)
    line.add_argument("--tiny", action="store_true", help="a model of next to no cost")
    asked = line.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder), asked.model) if asked.tiny else asked.models_dir
        result(measure(asked.image, models, asked.model, asked.precision, asked.jobs))


if __name__ == "__main__":
    main()

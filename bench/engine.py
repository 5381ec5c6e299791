"""The bare session: milliseconds per picture by provider, precision and batch size. No decoding, selection or queue.

    python -m bench.engine [--batches 1,2,4,8] [--seconds 1] [--rounds 3] [--model yolov3-tiny]

Every provider of this installation in every precision that it runs here, loaded by the worker's own code with the
worker's own options. All are loaded first and then measured in turn, so that what the machine does meanwhile touches
each. What cannot run is listed with its reason. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from bench.arguments import parser, result, say
from bench.bare import Bare
from bench.figures import over_rounds
from shared.errors import StartupError
from worker.engine import Engine
from worker.frame import Frames
from worker.providers import PROVIDERS

FEWEST_RUNS = 3


def combinations(asked: argparse.Namespace) -> tuple[dict[tuple[str, str], Engine], dict[str, str], Frames]:
    """Loaded engines by (provider, precision); why the others are missing; and one real frame."""
    engines: dict[tuple[str, str], Engine] = {}
    missing: dict[str, str] = {}
    frame: Frames | None = None
    for name, provider in PROVIDERS.items():
        if not provider.available():
            missing[name] = "not installed, or no device"
            continue
        for precision in provider.options:
            try:
                bare = Bare(asked.models_dir, asked.model, precision, name, lanes=1)
            except StartupError as error:
                missing[f"{name} {precision}"] = error.detail
                continue
            engines[name, precision] = bare.engine
            frame = bare.prepare(asked.image.read_bytes())[0]
    assert frame is not None, "the CPU provider is always there"
    return engines, missing, frame


def run_ms(engine: Engine, frames: Frames, seconds: float) -> float:
    """Milliseconds of one run, the mean over about `seconds` of back-to-back runs, at least `FEWEST_RUNS`."""
    engine.run(frames)
    runs, start = 0, time.perf_counter()
    while runs < FEWEST_RUNS or time.perf_counter() - start < seconds:
        engine.run(frames)
        runs += 1
    return 1000 * (time.perf_counter() - start) / runs


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All combinations in every round."""
    engines, missing, frame = combinations(asked)
    sizes = [int(part) for part in asked.batches.split(",")]
    batches = {size: np.repeat(frame[None], size, axis=0) for size in sizes}
    per_picture: dict[tuple[str, str], dict[int, list[float]]] = {
        combination: {size: [] for size in sizes} for combination in engines
    }
    for number in range(1, asked.rounds + 1):
        for combination, engine in engines.items():
            for size, frames in batches.items():
                per_picture[combination][size].append(run_ms(engine, frames, asked.seconds) / size)
        say(f"round {number} of {asked.rounds}")
    rows = [
        {"provider": provider, "precision": precision,
         **{f"batch {size}: ms/picture": over_rounds(found[size], 2) for size in sizes}}
        for (provider, precision), found in per_picture.items()
    ]  # fmt: skip
    return {"bench": "engine", "model": asked.model, "rounds": asked.rounds, "missing": missing, "rows": rows}


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--batches", default="1,2,4,8")
    line.add_argument("--seconds", type=float, default=1.0, help="of each combination in each round")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

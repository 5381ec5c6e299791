"""What the size of a JPEG costs: pictures as cameras send them, decoded scaled (as usual) and whole.

    python -m bench.sizes [--sizes 768x576,1920x1080,4000x3000] [--clients 8] [--seconds 6] [--rounds 3]

Single-picture jobs (upload as the raw body), closed loop, one worker: `SPOTTER_SCALED_DECODE` on and off in turn, each
in a fresh stack. The pictures are the bench's own, enlarged and with a sensor's noise, so that no detail is for free.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.arguments import parser, result, say
from bench.closedloop import Load
from bench.figures import over_rounds, ratios
from bench.throughput import service_round

NOISE = 4.0
"""Standard deviation of brightness, levels of 255: a phone at medium light."""
QUALITY = 88
SCALED = {"scaled": "true", "whole": "false"}


def enlarged(image: Path, size: tuple[int, int], target: Path) -> None:
    """The picture in another size, as a JPEG with noise that is the same each time."""
    pixels = np.asarray(Image.open(image).resize(size, Image.Resampling.LANCZOS), np.float32)
    noise = np.random.default_rng(1).normal(0, NOISE, (size[1], size[0], 1))
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(target, quality=QUALITY)


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All sizes in every round, scaled and whole."""
    sizes = [tuple(map(int, text.split("x"))) for text in asked.sizes.split(",")]
    loads: dict[tuple[str, str], list[Load]] = {}
    with tempfile.TemporaryDirectory() as folder:
        images = {f"{width} x {height}": Path(folder) / f"{width}x{height}.jpg" for width, height in sizes}
        for (width, height), path in zip(sizes, images.values(), strict=True):
            enlarged(asked.image, (width, height), path)
        bytes_of = {name: path.stat().st_size for name, path in images.items()}
        for number in range(1, asked.rounds + 1):
            for name, path in images.items():
                for way, setting in SCALED.items():
                    # The store holds a few hundred large uploads; those of succeeded pictures go at once here.
                    load = service_round(asked, asked.seconds, image=path, scaled_decode=setting, upload_keep_s="1")
                    loads.setdefault((name, way), []).append(load)
                    say(f"round {number}: {name} {way} {load.rate:.1f}/s")
    rows = []
    for name in images:
        scaled, whole = ([load.rate for load in loads[name, way]] for way in SCALED)
        rows.append({
            "picture": name, "MB": round(bytes_of[name] / 1e6, 2), "scaled, jobs/s": over_rounds(scaled),
            "whole, jobs/s": over_rounds(whole), "ratio": over_rounds(ratios(scaled, whole), 2),
            "scaled, p99 ms": over_rounds([load.p99_ms for load in loads[name, "scaled"]]),
            "whole, p99 ms": over_rounds([load.p99_ms for load in loads[name, "whole"]]),
        })  # fmt: skip
    return {"bench": "sizes", "model": asked.model, "precision": asked.precision, "clients": asked.clients,
            "rounds": asked.rounds, "seconds": asked.seconds, "rows": rows}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--sizes", default="768x576,1920x1080,4000x3000")
    line.add_argument("--clients", type=int, default=8)
    line.add_argument("--seconds", type=int, default=6)
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

"""Random darknet weights files for a cfg, written independently of the reader under test."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

CHANNELS_IN = 3


def sections(cfg: str) -> list[tuple[str, dict[str, str]]]:
    """The sections of a cfg that a test wrote: no comments, no blanks inside lines."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in cfg.split():
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        else:
            key, value = line.split("=", 1)
            found[-1][1][key] = value
    return found


def layer_values(cfg: str, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Per layer what the weights file holds for it, by name; empty for layers without values.

    The sizes of the values keep the signal in range through a deep network, so that a comparison says something.
    """
    rng = np.random.default_rng(seed)
    _, *layers = sections(cfg)
    channels: list[int] = []
    values: list[dict[str, np.ndarray]] = []
    for index, (kind, options) in enumerate(layers):
        before = channels[-1] if channels else CHANNELS_IN
        made: dict[str, np.ndarray] = {}
        if kind == "convolutional":
            filters, size = int(options.get("filters", 1)), int(options.get("size", 1))
            groups = int(options.get("groups", 1))
            residual = index + 1 < len(layers) and layers[index + 1][0] == "shortcut"
            made["bias"] = rng.normal(0, 0.1, filters)
            if options.get("batch_normalize") == "1":
                # Variances so large that it does not count what an implementation adds to them: 1e-5 or 1e-6, under the
                # root or after it. Over the 75 layers of YOLOv3 that would sum up to more than 1e-4.
                made["scale"] = rng.uniform(1.5, 4.5, filters) * (0.2 if residual else 1)
                made["mean"] = rng.normal(0, 0.1, filters)
                made["variance"] = rng.uniform(5, 15, filters)
            fan_in = before // groups * size * size
            made["kernel"] = rng.normal(0, np.sqrt(1.6 / fan_in), (filters, before // groups, size, size))
            before = filters
        elif kind == "route":
            sources = [int(part) for part in options["layers"].split(",")]
            chosen = (channels[at if at >= 0 else len(channels) + at] for at in sources)
            before = sum(chosen) // int(options.get("groups", 1))
        channels.append(before)
        values.append({name: array.astype(np.float32) for name, array in made.items()})
    return values


def write_weights(path: Path, values: list[dict[str, np.ndarray]], version: tuple[int, int, int] = (0, 2, 0)) -> Path:
    """Write a weights file: header of `version`, then each layer's values in darknet's order."""
    seen = struct.pack("<q" if version[0] * 10 + version[1] >= 2 else "<i", 32013312)
    with path.open("wb") as file:
        file.write(struct.pack("<3i", *version) + seen)
        for layer in values:
            for name in ("bias", "scale", "mean", "variance", "kernel"):
                if name in layer:
                    file.write(layer[name].astype("<f4").tobytes())
    return path


def resized(cfg: str, width: int, height: int) -> str:
    """The cfg with another frame."""
    return re.sub(r"height=\d+", f"height={height}", re.sub(r"width=\d+", f"width={width}", cfg, count=1), count=1)

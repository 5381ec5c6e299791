"""Random darknet weights files for a cfg, written independently of the reader under test."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from tests.zoo.zoo_shapes import Options, Shape, layer_shape

CHANNELS_IN = 3
Values = list[dict[str, np.ndarray]]


def sections(cfg: str) -> list[tuple[str, Options]]:
    """The sections of a cfg that a test wrote: no comments, no blanks inside lines."""
    found: list[tuple[str, Options]] = []
    for line in cfg.split():
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        else:
            key, value = line.split("=", 1)
            found[-1][1][key] = value
    return found


def layer_values(cfg: str, seed: int = 0) -> Values:
    """Per layer what the weights file holds for it, by name in the file's order; empty for layers without values.

    The sizes of the values keep the signal in range through a deep network, so that a comparison says something.
    """
    rng = np.random.default_rng(seed)
    (_, net), *layers = sections(cfg)
    shapes: list[Shape] = []
    values: Values = []
    before = (CHANNELS_IN, int(net["height"]), int(net["width"]))
    for index, (kind, options) in enumerate(layers):
        made: dict[str, np.ndarray] = {}
        normalised = "1" in (options.get("batch_normalize"), options.get("cbn"))
        if kind == "convolutional" and "share_index" not in options:
            residual = index + 1 < len(layers) and layers[index + 1][0] == "shortcut"
            filters, size = int(options.get("filters", 1)), int(options.get("size", 1))
            inside = before[0] // int(options.get("groups", 1))
            made["bias"] = rng.normal(0, 0.1, filters)
            if normalised:
                made |= _norm(rng, filters, 0.2 if residual else 1)
            made["kernel"] = rng.normal(0, np.sqrt(1.6 / (inside * size**2)), (filters, inside, size, size))
        elif kind == "connected":
            outputs, inputs = int(options.get("output", 1)), int(np.prod(before))
            made["bias"] = rng.normal(0, 0.1, outputs)
            made["kernel"] = rng.normal(0, np.sqrt(1.6 / inputs), (outputs, inputs))
            if normalised:
                made |= _norm(rng, outputs, 1)
        elif kind == "batchnorm":
            made = {"bias": rng.normal(0, 0.1, before[0])} | _norm(rng, before[0], 3)
        elif kind == "shortcut" and options.get("weights_type", "none") != "none":
            each = before[0] if options["weights_type"] == "per_channel" else 1
            made["weights"] = rng.normal(0.4, 0.6, (options["from"].count(",") + 2, each))
        elif kind == "implicit":
            made["weights"] = rng.normal(0, 1, (int(options.get("filters", 128)), int(options.get("atoms", 1))))
        before = layer_shape(kind, options, before, shapes)
        shapes.append(before)
        values.append({name: array.astype(np.float32) for name, array in made.items()})
    return values


def _norm(rng: np.random.Generator, channels: int, factor: float) -> dict[str, np.ndarray]:
    """Batch norm with variances so large that it does not count what an implementation adds to them: 1e-5 or 1e-6,
    under the root or after it. Over the 75 layers of YOLOv3 that would sum up to more than 1e-4."""
    return {
        "scale": rng.uniform(1.5, 4.5, channels) * factor,
        "mean": rng.normal(0, 0.1, channels),
        "variance": rng.uniform(5, 15, channels),
    }


def write_weights(path: Path, values: Values, version: tuple[int, int, int] = (0, 2, 0)) -> Path:
    """Write a weights file: header of `version`, then each layer's values; above 1000 connected kernels transposed."""
    major, minor, _ = version
    transposed = max(major, minor) > 1000
    seen = struct.pack("<q" if major * 10 + minor >= 2 and not transposed else "<i", 32013312)
    with path.open("wb") as file:
        file.write(struct.pack("<3i", *version) + seen)
        for layer in values:
            for name, array in layer.items():
                turned = transposed and name == "kernel" and array.ndim == 2
                file.write((array.T if turned else array).astype("<f4").tobytes())
    return path


def resized(cfg: str, width: int, height: int) -> str:
    """The cfg with another frame."""
    return re.sub(r"height=\d+", f"height={height}", re.sub(r"width=\d+", f"width={width}", cfg, count=1), count=1)

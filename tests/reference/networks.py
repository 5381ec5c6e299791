"""Networks with random weights that any machine makes again bit by bit: what the darknet libraries were recorded on.

The numbers come from the raw bits of PCG64, whose stream NumPy promises to keep; its distributions may change.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tests.zoo.zoo_random import resized, sections
from zoo.topologies import TOPOLOGIES

Floats = NDArray[np.float32]

_LOUDNESS = {"yolo": 3.0, "Gaussian_yolo": 3.0, "region": 12.0}
"""Variance of what a head reads; a softmax over many classes needs more of it."""
_CHUNK = 1 << 20

SIZE = (128, 96)
"""Width and height of the whole networks' frames: not square, so that no axis can take another's place."""


def _tree() -> tuple[int, ...]:
    parents = [-1, -1, -1]
    parent = 0
    while len(parents) < 210:
        parents += [parent] * (2, 1, 0, 3)[parent % 4]
        parent += 1
    return (*parents, 4, 4, 7, 7, 7)


TREE = _tree()
"""Parents of 216 classes: three roots, groups of 1 to 3, some ten levels. The children of 4 and 7 stand in two runs, of
which the last counts in darknet."""

_SMALL = """[net]\nwidth=64\nheight=48\nchannels=3
[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=leaky
[convolutional]\nfilters=16\nsize=3\nstride=4\npad=1\nbatch_normalize=1\nactivation=leaky\n"""
_ANCHORS = "anchors=10,14,23,27,37,58,31,22\nnum=4\nmask=0,2,3\n"
_CELLS = "anchors=1.2,2.5,3.1,1.7\nnum=2\n"


def _small(filters: int, head: str, activation: str = "linear") -> str:
    return f"{_SMALL}[convolutional]\nfilters={filters}\nsize=1\nactivation={activation}\n{head}\n"


HEADS = {
    "yolo stretched": _small(27, f"[yolo]\nclasses=4\nscale_x_y=1.2\n{_ANCHORS}"),
    "yolo new_coords": _small(27, f"[yolo]\nclasses=4\nscale_x_y=2.0\nnew_coords=1\n{_ANCHORS}", "logistic"),
    "gaussian": _small(39, f"[Gaussian_yolo]\nclasses=4\nscale_x_y=1.1\n{_ANCHORS}"),
    "gaussian left_top": _small(39, f"[Gaussian_yolo]\nclasses=4\nyolo_point=left_top\n{_ANCHORS}"),
    "gaussian right_bottom": _small(39, f"[Gaussian_yolo]\nclasses=4\nyolo_point=right_bottom\n{_ANCHORS}"),
    "region softmax": _small(18, f"[region]\nclasses=4\ncoords=4\nsoftmax=1\n{_CELLS}"),
    "region classfix": _small(18, f"[region]\nclasses=4\ncoords=4\nsoftmax=1\nclassfix=-1\n{_CELLS}"),
    "region logistic": _small(18, f"[region]\nclasses=4\ncoords=4\n{_CELLS}"),
    "region background": _small(18, f"[region]\nclasses=4\ncoords=4\nsoftmax=1\nbackground=1\n{_CELLS}"),
    "region masks": _small(24, f"[region]\nclasses=4\ncoords=7\nsoftmax=1\n{_CELLS}"),
    "region tree": _small(
        2 * (5 + len(TREE)), f"[region]\nclasses={len(TREE)}\ncoords=4\nsoftmax=1\ntree=little.tree\n{_CELLS}"
    ),
}
"""Small networks, one for each way in which a head can be said."""


FORKS = {name: "original" if name.startswith("region") else "alexeyab" for name in HEADS} | {
    "region classfix": "alexeyab",
    "yolov4": "alexeyab",
    "yolov4-tiny": "alexeyab",
    "yolov4-csp": "alexeyab",
}
"""What was recorded, and from whose library; the original has no `scale_x_y`, no Gaussian and no YOLOv4."""

MAPPED = tuple(range(3, 203, 20))
"""Classes of `TREE` that are reported with their own probabilities."""

HIERARCHY = (0.0, 0.1, 0.3, 0.5, 0.8)
"""Thresholds of the walk down a tree."""


def text(name: str) -> str:
    """The cfg of a small network or of a whole one."""
    return HEADS[name] if name in HEADS else whole(name)


def whole(name: str) -> str:
    """A topology of the catalog with a small frame."""
    return resized(TOPOLOGIES[name](), *SIZE)


def frame(cfg: str, seed: int = 1) -> NDArray[np.uint8]:
    """A frame of noise for a cfg: uint8 (1, H, W, 3)."""
    said = dict(re.findall(r"^(width|height)=(\d+)$", cfg, re.MULTILINE))
    shape = (1, int(said["height"]), int(said["width"]), 3)
    bits = np.random.PCG64(seed).random_raw(math.prod(shape))
    return (bits >> np.uint64(56)).astype(np.uint8).reshape(shape)


def write_tree(path: Path) -> Path:
    """`TREE` as a `.tree` file."""
    path.write_text("".join(f"n{index:08d} {parent}\n" for index, parent in enumerate(TREE)))
    return path


def write_map(path: Path) -> Path:
    """`MAPPED` as a `.map` file."""
    path.write_text("".join(f"{index}\n" for index in MAPPED))
    return path


def write_weights(path: Path, cfg: str, seed: int = 0, header: int = 2) -> Path:
    """Random weights for a cfg of convolutions, pools, routes, shortcuts, reorganisations and heads.

    Variances are large beside the epsilon of batch norm, which the two darknets add in different places. The last
    convolution before a head speaks up, so that confidences lie all over 0..1.
    """
    bits = np.random.PCG64(seed)
    _, *layers = sections(cfg)
    channels: list[int] = []
    with path.open("wb") as file:
        file.write(struct.pack("<3iq", 0, header, 0, 32013312))
        for index, (kind, options) in enumerate(layers):
            before = channels[-1] if channels else 3
            after = layers[index + 1][0] if index + 1 < len(layers) else ""
            if kind == "convolutional":
                before = _convolution(file, bits, before, options, after)
            elif kind == "route":
                chosen = (channels[int(part)] for part in options["layers"].split(","))
                before = sum(chosen) // int(options.get("groups", 1))
            elif kind == "reorg":
                before *= int(options["stride"]) ** 2
            channels.append(before)
    return path


def _convolution(file: BinaryIO, bits: np.random.PCG64, before: int, options: dict[str, str], after: str) -> int:
    filters, size = int(options["filters"]), int(options["size"])
    fan_in = before * size * size
    _uniform(bits, filters, 0.2).tofile(file)
    gain = _LOUDNESS.get(after, 1.6)
    if "batch_normalize" in options:
        scale = np.float32(1) + _uniform(bits, filters, 0.5)
        (scale * np.float32(0.2 if after == "shortcut" else 1)).tofile(file)
        _uniform(bits, filters, 0.5).tofile(file)
        (np.float32(16) + _uniform(bits, filters, 8)).tofile(file)
        gain *= 16
    kernel = filters * fan_in
    for begin in range(0, kernel, _CHUNK):
        _uniform(bits, min(_CHUNK, kernel - begin), math.sqrt(3 * gain / fan_in)).tofile(file)
    return filters


def _uniform(bits: np.random.PCG64, count: int, reach: float) -> Floats:
    """float32 (count,) in -reach..reach."""
    raw = bits.random_raw(-(-count // 2))
    halves = raw.view(np.uint32)[:count] >> np.uint32(8)
    return (halves.astype(np.float32) * np.float32(2.0**-23) - np.float32(1)) * np.float32(reach)

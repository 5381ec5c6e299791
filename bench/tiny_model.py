"""A real model of the contract, small enough to convert in a blink: a darknet network with random weights.

For tests, and for benches whose load is on the queue and not on the device. What it finds means nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from shared.manifest import Origin, Traits
from zoo.darknet import convert
from zoo.repository import install

LABELS = ("dog", "cat", "kite")
CFG = """
[net]
width=64
height=64
channels=3

[convolutional]
filters=8
size=3
stride=4
pad=1
activation=leaky

[convolutional]
filters=16
size=1
stride=1
activation=linear

[yolo]
mask=0,1
anchors=10,14, 23,27
classes=3
num=2
"""
FILTERS = ((8, 3, 3), (16, 8, 1))


def make_models(folder: Path, name: str = "yolov3-tiny", spread: float = 0.3) -> Path:
    """A repository with one model; called again, with one more. The wider the weights spread, the surer it is."""
    rng = np.random.default_rng(1)
    weights = folder / "tiny.weights"
    arrays = [(rng.normal(0, spread, n), rng.normal(0, spread, n * c * k * k)) for n, c, k in FILTERS]
    values = np.concatenate([part for pair in arrays for part in pair]).astype("<f4")
    weights.write_bytes(struct.pack("<3iq", 0, 2, 0, 0) + values.tobytes())
    converted = convert(CFG, weights)
    origin = Origin(source="random weights", licence="none")
    install(folder / "models", name, converted.model, Traits(labels=LABELS, frame=converted.frame, origin=origin))
    return folder / "models"

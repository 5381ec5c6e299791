"""Darknet's activations in float64, one number at a time, written from the C of both forks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "elu": lambda x: x if x >= 0 else np.exp(x) - 1,
    "selu": lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (np.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3)),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "revleaky": lambda x: x if x > 0 else 0.1 * x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "tanh": lambda x: 2 / (1 + np.exp(-2 * x)) - 1,
    "plse": lambda x: 0.01 * (x + 4) if x < -4 else 0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5,
    "stair": lambda x: np.floor(x / 2) if np.floor(x) % 2 == 0 else x - np.floor(x) + np.floor(x / 2),
    "hardtan": lambda x: -1 if x < -1 else 1 if x > 1 else x,
    "lhtan": lambda x: 0.001 * x if x < 0 else 0.001 * (x - 1) + 1 if x > 1 else x,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(np.exp(x) + 1)),
    "hard_mish": lambda x: x if x > 0 else x * x / 2 + x if x > -2 else 0,
}


def activated(value: Floats, name: str) -> Floats:
    """`name` of each value."""
    if name in ("linear", "leaky"):  # of most layers, so that a whole network does not take minutes
        return value if name == "linear" else np.where(value > 0, value, 0.1 * value)
    return np.asarray(np.vectorize(ACTIVATIONS[name], otypes=[np.float64])(value))

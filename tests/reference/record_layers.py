"""What darknet itself computes for each layer of `tests/zoo/zoo_cases.py` -> JSON on stdout.

    python -m tests.reference.record_layers alexeyab LIBRARY > tests/reference/layers_alexeyab.json
    python -m tests.reference.record_layers original LIBRARY > tests/reference/layers_original.json

LIBRARY is `libdarknet.so` of that fork: AlexeyAB's made by `make LIBSO=1` without GPU and OpenCV, the original's from
Debian's package `darknet`. Cfgs and weights are generated here, as the test generates them again.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.zoo import zoo_cases
from tests.zoo.zoo_numpy import layer_outputs
from tests.zoo.zoo_run import pictures

MAX_NUMBERS = 100
FloatPointer = ctypes.POINTER(ctypes.c_float)
Predict = Callable[[Path, Path, np.ndarray], Any]
"""cfg, weights and float32 planes (3, H, W) in 0..1 -> a pointer to the output of the last layer."""


def alexeyab(darknet: Any) -> Predict:
    """With batch norm and weights of shortcuts fused, as `darknet detector test` does it."""
    darknet.load_network_custom.restype = ctypes.c_void_p
    darknet.load_network_custom.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    darknet.network_predict_ptr.restype = FloatPointer
    darknet.network_predict_ptr.argtypes = [ctypes.c_void_p, FloatPointer]

    def predict(cfg: Path, weights: Path, planes: np.ndarray) -> Any:
        network = darknet.load_network_custom(str(cfg).encode(), str(weights).encode(), 0, 1)
        return darknet.network_predict_ptr(network, planes.ctypes.data_as(FloatPointer))

    return predict


def original(darknet: Any) -> Predict:
    darknet.load_network.restype = ctypes.c_void_p
    darknet.load_network.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    darknet.set_batch_network.argtypes = [ctypes.c_void_p, ctypes.c_int]
    darknet.network_predict.restype = FloatPointer
    darknet.network_predict.argtypes = [ctypes.c_void_p, FloatPointer]

    def predict(cfg: Path, weights: Path, planes: np.ndarray) -> Any:
        network = darknet.load_network(str(cfg).encode(), str(weights).encode(), 0)
        darknet.set_batch_network(network, 1)
        return darknet.network_predict(network, planes.ctypes.data_as(FloatPointer))

    return predict


FORKS: dict[str, tuple[Callable[[Any], Predict], dict[str, list[str]], str]] = {
    "alexeyab": (alexeyab, zoo_cases.ALEXEYAB, "github.com/AlexeyAB/darknet 59596d78, CPU, -Ofast"),
    "original": (original, zoo_cases.ORIGINAL, "Debian darknet 0.0.0+git20180914.61c9d02e, CPU"),
}


def sample(output: np.ndarray) -> np.ndarray:
    """At most `MAX_NUMBERS` of the values, spread over all: every k-th of the flat array, k without a common factor."""
    flat = output.reshape(-1)
    step = next(k for k in range(-(-len(flat) // MAX_NUMBERS), len(flat) + 2) if np.gcd(k, len(flat)) == 1)
    return flat[::step]


def record(predict: Predict, name: str, layers: list[str], folder: Path) -> dict[str, Any]:
    """Shape, here known from the NumPy pass, and values of the last layer's output for one picture."""
    cfg = zoo_cases.network(*layers)
    values = zoo_cases.values(name, cfg)
    (folder / "net.cfg").write_text(cfg + "\n")
    weights = zoo_cases.weights_file(name, values, folder)
    images = pictures(1, zoo_cases.WIDTH, zoo_cases.HEIGHT)
    planes = np.ascontiguousarray(images[0].transpose(2, 0, 1), np.float32) / np.float32(255)
    shape = layer_outputs(cfg, values, images)[-1].shape[1:]
    output = np.ctypeslib.as_array(predict(folder / "net.cfg", weights, planes), shape).copy()
    return {"shape": list(shape), "values": [float(f"{value:.7g}") for value in sample(output)]}


def main(fork: str, library: str) -> None:
    """Record every case of a fork."""
    answer = os.dup(1)  # darknet prints its layers to stdout and stderr
    os.dup2(2, 1)
    bind, cases, engine = FORKS[fork]
    predict = bind(ctypes.CDLL(library))
    with TemporaryDirectory() as folder:
        recorded = {name: record(predict, name, layers, Path(folder)) for name, layers in cases.items()}
    with os.fdopen(answer, "w") as out:
        lines = (f" {json.dumps(name)}: {json.dumps(case)}" for name, case in recorded.items())
        out.write(f'{{"engine": {json.dumps(engine)}, "cases": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

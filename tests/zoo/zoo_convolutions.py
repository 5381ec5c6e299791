"""A small detector under the contract with four 1x1 convolutions, and what it must answer, in NumPy.

Its one box is the whole frame; `light` and `dark` are sigmoid(20 m - 10) and sigmoid(10 - 20 m) for a frame of mean m,
0..1: each convolution passes the mean on, through 128 channels that differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.manifest import Frame, Manifest, Origin, Traits
from zoo.repository import install

SIDE = 8
TRAITS = Traits(
    family="test",
    labels=("light", "dark"),
    frame=Frame(width=SIDE, height=SIDE),
    origin=Origin(source="made by a test", licence="none"),
)
CHANNELS = 128
SPREAD = np.linspace(0.5, 2, CHANNELS, dtype=np.float32)
Array = NDArray[np.float32]


def _weights() -> list[Array]:
    """(out, in) of each convolution: channel k carries SPREAD[k] times the mean."""
    first = np.outer(SPREAD, np.full(3, 1 / 3)).astype(np.float32)
    between = (SPREAD[:, None] / SPREAD[None, :] / CHANNELS).astype(np.float32)
    head = (np.array([[20.0], [-20.0]]) / SPREAD[None, :] / CHANNELS).astype(np.float32)
    return [first, between, between.copy(), head]


@dataclass(frozen=True)
class Layers:
    """Weights (out, in) of the four convolutions; the last has a bias too."""

    weights: list[Array] = field(default_factory=_weights)
    bias: Array = field(default_factory=lambda: np.array([-10.0, 10.0], np.float32))

    def model(self) -> onnx.ModelProto:
        """images -> Cast, Mul, Transpose -> (Conv, LeakyRelu) x 3 -> Conv -> ReduceMean, Sigmoid -> boxes, scores."""
        node = helper.make_node
        constants: dict[str, Array] = {
            "part": np.array(1 / 255, np.float32),
            "whole": np.array([[[0, 0, 1, 1]]], np.float32),
            "none": np.zeros((1, 1, 1), np.float32),
            "bias": self.bias,
        }
        nodes = [
            node("Cast", ["images"], ["cast"], "cast", to=TensorProto.FLOAT),
            node("Mul", ["cast", "part"], ["scaled"], "scale"),
            node("Transpose", ["scaled"], ["a0"], "transpose", perm=[0, 3, 1, 2]),
        ]
        for k, weights in enumerate(self.weights):
            constants[f"w{k}"] = weights[:, :, None, None]
            last = k == len(self.weights) - 1
            nodes.append(node("Conv", [f"a{k}", f"w{k}", *(["bias"] if last else [])], [f"c{k}"], f"conv{k}"))
            if not last:
                nodes.append(node("LeakyRelu", [f"c{k}"], [f"a{k + 1}"], f"leaky{k}", alpha=0.1))
        nodes += [
            node("ReduceMean", [f"c{len(self.weights) - 1}"], ["mean"], "mean", axes=[2, 3], keepdims=0),
            node("Sigmoid", ["mean"], ["probable"], "sigmoid"),
            node("Reshape", ["probable", "shape"], ["scores"], "reshape"),
            node("ReduceMax", ["scores"], ["most"], "most", axes=[2], keepdims=1),
            node("Mul", ["most", "none"], ["nothing"], "nothing"),
            node("Add", ["nothing", "whole"], ["boxes"], "box"),
        ]
        initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
        initial.append(numpy_helper.from_array(np.array([-1, 1, 2], np.int64), "shape"))
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "convolutions",
            [info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
            [info("boxes", TensorProto.FLOAT, ["N", 1, 4]), info("scores", TensorProto.FLOAT, ["N", 1, 2])],
            initial,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def leaky(values: Array) -> Array:
    """As `LeakyRelu` of the model."""
    return np.where(values < 0, values * np.float32(0.1), values)


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-values.astype(np.float64))), np.float32)


def frames(*levels: float) -> NDArray[np.uint8]:
    """A frame for each mean 0..1, with noise around it: (N, 8, 8, 3)."""
    noise = np.random.default_rng(3).uniform(-0.1, 0.1, (len(levels), SIDE, SIDE, 3))
    values = np.asarray(levels)[:, None, None, None] + noise
    return np.asarray(np.clip(values * 255, 0, 255).round(), np.uint8)


def installed(models_dir: Path, name: str = "light") -> Manifest:
    """A repository with this model."""
    return install(models_dir, name, Layers().model(), TRAITS)

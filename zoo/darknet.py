"""Darknet `.cfg` + `.weights` -> one ONNX model under the contract of `shared.manifest`. No torch, no darknet.

Knows neither where the files came from nor where the model goes (`zoo/repository.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from shared.manifest import Frame, Interpolation
from zoo import cfg as syntax
from zoo import layers
from zoo.errors import CfgError
from zoo.graph import Graph, Tensor
from zoo.network import Network
from zoo.weights import Weights


@dataclass(frozen=True)
class Converted:
    """A converted model: `images` uint8 (N, H, W, 3) -> `boxes` float32 (N, A, 4), `scores` float32 (N, A, classes)."""

    model: onnx.ModelProto
    frame: Frame
    classes: int


def convert(cfg: str, weights: Path, interpolation: Interpolation = "linear") -> Converted:
    """Convert one network. The frame is the `width` and `height` of the cfg's `[net]`.

    Args:
        cfg: the text of the cfg file.
        interpolation: how the frames will be made; darknet's are float32.
        weights: the weights file; mapped, not loaded, so memory holds little more than one copy of its values.

    Raises:
        CfgError: the cfg is malformed or uses something that is not supported; the text names the layer and its line.
        WeightsError: the weights file is unreadable, or too short or too long for the cfg.
    """
    first, *rest = syntax.parse(cfg)
    width = first.number("width", 0, low=1, high=8192)
    height = first.number("height", 0, low=1, high=8192)
    if not width or not height:
        raise first.error("does not say width and height")
    if first.number("channels", 3) != 3:
        raise first.error("must have channels=3: the frames are RGB")
    graph = Graph()
    unscaled = bool(rest) and rest[0].kind == "convolutional" and rest[0].number("groups", 1) == 1
    value = _planes(graph) if unscaled else _scaled(graph)
    net = Network(graph, Weights(weights), width, height, Tensor(value, 3, height, width))
    net.frame = value if unscaled else ""
    for section in rest:
        layers.emit(net, section)
    if not net.heads:
        raise CfgError("The cfg has no detection head ([yolo]): this is not a detector.")
    classes = {head.classes for head in net.heads}
    if len(classes) > 1:
        raise CfgError(f"The detection heads have different numbers of classes: {sorted(classes)}.")
    net.weights.finish()
    graph.add("Concat", *(head.boxes for head in net.heads), axis=1, out="boxes")
    graph.add("Concat", *(head.scores for head in net.heads), axis=1, out="scores")
    model = graph.model(
        height=height,
        width=width,
        anchors=sum(head.rows for head in net.heads),
        classes=net.heads[0].classes,
        interpolation=interpolation,
    )
    return Converted(model, Frame(width=width, height=height), net.heads[0].classes)


def _planes(graph: Graph) -> str:
    """Frames NHWC -> float32 NCHW, 0..255. Transposed first: bytes move faster than floats."""
    value = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    return graph.add("Cast", value, to=int(onnx.TensorProto.FLOAT))


def _scaled(graph: Graph) -> str:
    """Frames NHWC -> float32 NCHW, 0..1, for a first layer that cannot take the factor into its weights."""
    return graph.add("Mul", _planes(graph), graph.reals(1 / 255))

"""Darknet `.cfg` + `.weights` -> one ONNX model under the contract of `shared.manifest`. No torch, no darknet.

Knows neither where the files came from nor where the model goes (`zoo/repository.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from shared.manifest import Frame, Interpolation, Resize
from zoo import cfg as syntax
from zoo import layers, names
from zoo.errors import CfgError
from zoo.graph import Graph, Tensor
from zoo.heads import HEADS
from zoo.names import Tree
from zoo.network import Hierarchy, Network
from zoo.weights import Weights


@dataclass(frozen=True)
class Converted:
    """A converted model.

    Attributes:
        model: under the contract of `shared.manifest`, with `N` open.
        resize: `letterbox` where the cfg says `letter_box=1`. Without it AlexeyAB's darknet stretches pictures to the
            frame; the original letterboxes them always.
        classes: how many labels it needs.
        single_label: whether it names one class for each box.
    """

    model: onnx.ModelProto
    frame: Frame
    resize: Resize
    classes: int
    single_label: bool


def convert(
    cfg: str,
    weights: Path,
    interpolation: Interpolation = "linear",
    *,
    hierarchy: Hierarchy | None = None,
    frame: Frame | None = None,
) -> Converted:
    """Convert one network.

    Args:
        cfg: the text of the cfg file.
        weights: the weights file; mapped, not loaded, so memory holds little more than one copy of its values.
        interpolation: how the frames will be made; darknet's are float32.
        hierarchy: the tree that the cfg's `[region]` names with `tree=` (see `tree_of`), and what is reported of it. A
            `map=` of the cfg counts in training alone; here it is `hierarchy.mapped`.
        frame: the size of the input; None: `width` and `height` of the cfg's `[net]`.

    Raises:
        CfgError: the cfg is malformed or uses something that is not supported; the text names the layer and its line.
        WeightsError: the weights file is unreadable, or too short or too long for the cfg.
    """
    first, *rest = syntax.parse(cfg)
    width = first.number("width", 0, low=1, high=8192)
    height = first.number("height", 0, low=1, high=8192)
    if frame is not None:
        width, height = frame.width, frame.height
    if not width or not height:
        raise first.error("does not say width and height")
    if first.number("channels", 3) != 3:
        raise first.error("must have channels=3: the frames are RGB")
    graph = Graph()
    unscaled = bool(rest) and rest[0].kind == "convolutional" and rest[0].number("groups", 1) == 1
    value = _planes(graph) if unscaled else _scaled(graph)
    net = Network(graph, Weights(weights), width, height, Tensor(value, 3, height, width))
    net.frame = value if unscaled else ""
    net.hierarchy = hierarchy
    if hierarchy is not None and not any("tree" in section.options for section in rest):
        raise CfgError("A label tree was given, but the cfg has no [region] with tree=.")
    for section in rest:
        layers.emit(net, section)
    single_label = _join(net)
    net.weights.finish()
    classes = net.heads[0].classes
    model = graph.model(
        height=height,
        width=width,
        anchors=sum(head.rows for head in net.heads),
        classes=None if single_label else classes,
        interpolation=interpolation,
    )
    resize: Resize = "letterbox" if first.number("letter_box", 0) else "stretch"
    return Converted(model, Frame(width=width, height=height), resize, classes, single_label)


def tree_of(cfg: str, path: Path) -> Tree | None:
    """The label tree that a cfg names with `tree=`; None where it names none.

    Args:
        path: where the cfg text was read from; the tree is looked up near it (`zoo.names.beside`).

    Raises:
        CfgError: the cfg is malformed.
        NamesError: the tree is not there or cannot be read.
    """
    named = [section.options["tree"] for section in syntax.parse(cfg) if "tree" in section.options]
    return names.tree(names.beside(path, named[0])) if named else None


def _join(net: Network) -> bool:
    """The heads one behind the other as the graph's outputs; whether each box has one label.

    Raises:
        CfgError: there is no head, or the heads do not agree in their classes, or no head wants the tree.
    """
    if not net.heads:
        raise CfgError(f"The cfg has no detection head ({', '.join(HEADS)}): this is not a detector.")
    classes = {head.classes for head in net.heads}
    if len(classes) > 1:
        raise CfgError(f"The detection heads have different numbers of classes: {sorted(classes)}.")
    labelled = {bool(head.labels) for head in net.heads}
    if len(labelled) > 1:
        raise CfgError("One detection head has a label tree, another has none.")
    net.graph.add("Concat", *(head.boxes for head in net.heads), axis=1, out="boxes")
    net.graph.add("Concat", *(head.scores for head in net.heads), axis=1, out="scores")
    if single_label := labelled.pop():
        net.graph.add("Concat", *(head.labels for head in net.heads), axis=1, out="labels")
    return single_label


def _planes(graph: Graph) -> str:
    """Frames NHWC -> float32 NCHW, 0..255. Transposed first: bytes move faster than floats."""
    value = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    return graph.add("Cast", value, to=int(onnx.TensorProto.FLOAT))


def _scaled(graph: Graph) -> str:
    """Frames NHWC -> float32 NCHW, 0..1, for a first layer that cannot take the factor into its weights."""
    return graph.add("Mul", _planes(graph), graph.reals(1 / 255))

"""What a layer emitter works on: the graph so far, the weights still to read, and the outputs of the layers before."""

from __future__ import annotations

from dataclasses import dataclass, field

from zoo.cfg import Section
from zoo.graph import Graph, Tensor
from zoo.names import Tree
from zoo.weights import Weights


@dataclass(frozen=True)
class Head:
    """One detection head, decoded.

    Attributes:
        boxes: name of float32 (N, rows, 4), x1 y1 x2 y2, 0..1 of the frame.
        scores: name of float32 (N, rows, classes), probability per class; (N, rows) where `labels` says the class.
        labels: name of int64 (N, rows), the one class of each row; empty where `scores` has every class.
    """

    boxes: str
    scores: str
    rows: int
    classes: int
    labels: str = ""


@dataclass(frozen=True)
class Hierarchy:
    """How the classes of a `[region]` with `tree=` are reported.

    Attributes:
        tree: the network's classes.
        threshold: how sure a path down the tree must be to go on (darknet's `-hier`); 0..1.
        mapped: the network's classes that are reported, each with its own probability (darknet's `map`); empty: the
            deepest sure class of each box.
    """

    tree: Tree
    threshold: float = 0.5
    mapped: tuple[int, ...] = ()


@dataclass
class Network:
    """A conversion under way.

    Attributes:
        current: output of the layer before.
        frame: name of the input in 0..255, where the first layer takes it unscaled; else empty.
        outputs: output of each layer so far by its index in the cfg; None for a layer that others cannot read.
        heads: the detection heads so far, in cfg order.
        hierarchy: given for a network whose classes are a tree.
    """

    graph: Graph
    weights: Weights
    width: int
    height: int
    current: Tensor
    outputs: list[Tensor | None] = field(default_factory=list)
    frame: str = ""
    heads: list[Head] = field(default_factory=list)
    hierarchy: Hierarchy | None = None

    def layer(self, index: int, section: Section) -> Tensor:
        """Output of another layer: counted from the first where `index` >= 0, back from `section` where negative.

        Raises:
            CfgError: there is no such layer before this one, or it is a detection head.
        """
        absolute = index if index >= 0 else len(self.outputs) + index
        if not 0 <= absolute < len(self.outputs):
            raise section.error(f"refers to layer {index}, which is not before it")
        output = self.outputs[absolute]
        if output is None:
            raise section.error(f"refers to layer {index}, which is a detection head")
        return output

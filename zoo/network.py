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


@dataclass(frozen=True)
class Kernel:
    """The weights of a convolution in the graph, for layers that share them.

    Attributes:
        kernel, bias: names of the constants, batch norm folded in.
        shape: filters, channels and groups of the layer's input, size.
        pixels: whether they take 0..255 twice (see `zoo/layers/convolutional.py`) instead of 0..1 once.
    """

    kernel: str
    bias: str
    shape: tuple[int, int, int, int]
    pixels: bool


@dataclass
class Network:
    """A conversion under way.

    Attributes:
        current: output of the layer before.
        frame: name of the input in 0..255, where the first layer takes it unscaled; else empty.
        outputs: output of each layer so far by its index in the cfg; None for a layer that others cannot read.
        heads: the detection heads so far, in cfg order.
        kernels: of the convolutions so far, by index in the cfg.
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
    kernels: dict[int, Kernel] = field(default_factory=dict)
    hierarchy: Hierarchy | None = None

    def layer(self, index: int, section: Section) -> Tensor:
        """Output of another layer: counted from the first where `index` >= 0, back from `section` where negative.

        Raises:
            CfgError: there is no such layer before this one, or it is a detection head.
        """
        output = self.outputs[self.place(index, section)]
        if output is None:
            raise section.error(f"refers to layer {index}, which is a detection head")
        if output.refused:
            raise section.error(f"refers to layer {index}, {output.refused}")
        return output

    def place(self, index: int, section: Section) -> int:
        """Position in the cfg, from 0, of a layer said as in `layer`. Raises CfgError where none is before this one."""
        absolute = index if index >= 0 else len(self.outputs) + index
        if not 0 <= absolute < len(self.outputs):
            raise section.error(f"refers to layer {index}, which is not before it")
        return absolute

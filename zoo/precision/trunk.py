"""Where a graph does its heavy work, and which nodes lie in between. Knows operators, but no families."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, NodeProto

HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""What takes the time of a detector."""

CALM = HEAVY | frozenset(
    {
        "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "DepthToSpace", "Elu", "Flatten", "Gelu",
        "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "LayerNormalization", "LeakyRelu",
        "MaxPool", "Mish", "Mul", "PRelu", "Pad", "Relu", "Reshape", "Resize", "Selu", "Sigmoid", "Slice", "Softmax",
        "Softplus", "SpaceToDepth", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Upsample",
    }
)  # fmt: skip
"""What features pass through between two heavy operators without growing out of their range: no exponents, divisions,
powers or sums over whole pictures, and nothing that reads a number as a place (RoiAlign, TopK, NonMaxSuppression)."""


@dataclass(frozen=True)
class Trunk:
    """Places of nodes in `graph.node`.

    Attributes:
        after: calm nodes that a heavy operator comes before, along calm ones.
        before: calm nodes that a heavy operator comes after, likewise.
    """

    after: frozenset[int]
    before: frozenset[int]

    @property
    def inside(self) -> frozenset[int]:
        """Nodes between two heavy operators: neither preprocessing nor the decoding of boxes is among them."""
        return self.after & self.before


def trunk(graph: GraphProto) -> Trunk:
    """The trunk of a graph. Nodes within the bodies of Loop, If and Scan are no part of it."""
    return Trunk(_reached(graph, forward=True), _reached(graph, forward=False))


def captured(node: NodeProto) -> Iterator[str]:
    """Names that the bodies of a node use; among them those of the outer graph."""
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
        for body in bodies:
            for inner in body.node:
                yield from inner.input
                yield from captured(inner)
            yield from (value.name for value in body.output)


def _reached(graph: GraphProto, forward: bool) -> frozenset[int]:
    """Calm nodes that a heavy operator reaches in one direction, itself not counted unless another one reaches it."""
    marked: set[str] = set()
    reached = set()
    places = range(len(graph.node))
    for place in places if forward else reversed(places):
        node = graph.node[place]
        entered, left = (node.input, node.output) if forward else (node.output, node.input)
        touched = node.op_type in CALM and any(name in marked for name in entered if name)
        if touched:
            reached.add(place)
        if touched or node.op_type in HEAVY:
            marked.update(name for name in left if name)
    return frozenset(reached)

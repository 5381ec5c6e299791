"""A model -> the same with weights and features in fp16, for GPUs. Writes graphs; runs none.

Only heavy operators and what lies between them change (`trunk`), so preprocessing, where 0..255 would lose its last
digits in a division, and the decoding of boxes, where fp16 is coarser than a pixel, stay as they are; so do inputs and
outputs.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zoo.errors import PrecisionError
from zoo.precision.trunk import HEAVY, captured, trunk

LARGEST = float(np.finfo(np.float16).max)
_FEATURES_ONLY = frozenset({"Resize", "Upsample"})
"""Their scales are float32 by the operator's own definition; only the first input follows the features."""


def halve(model: onnx.ModelProto, emulated: bool = False) -> onnx.ModelProto:
    """A copy in fp16. A node with a weight beyond fp16's range, 65504, stays in fp32.

    Args:
        emulated: compute in fp32 and round every value to fp16, as a GPU stores it. A CPU, which has no fp16
            arithmetic, shows with this what the variant does to the results, overflows among it; the variant itself
            would run in fp32 there without a trace of them.

    Raises:
        PrecisionError: nothing in the graph can run in fp16.
    """
    made = onnx.shape_inference.infer_shapes(model)
    rewrite = _Rewrite(made.graph, emulated)
    if not rewrite.chosen:
        raise PrecisionError("The model has no convolution or matrix product that could run in fp16.")
    rewrite.run()
    del made.graph.output[:]  # inference may have closed sizes that the signature leaves open
    made.graph.output.extend(model.graph.output)
    return made


class _Rewrite:
    """One graph, changed in place. A value that both precisions use has two names: its own in fp32, another in fp16.

    Attributes:
        chosen: places of the nodes that will run in fp16.
    """

    def __init__(self, graph: onnx.GraphProto, emulated: bool) -> None:
        self._graph = graph
        self._emulated = emulated
        self._weights = {one.name: one for one in graph.initializer}
        values = (*graph.input, *graph.output, *graph.value_info)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._floats |= {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT}
        inside = trunk(graph).inside
        self.chosen = {
            k for k, node in enumerate(graph.node) if (node.op_type in HEAVY or k in inside) and self._fits(node)
        }
        self._halved: set[str] = set()

    def run(self) -> None:
        graph = self._graph
        full = {value.name for value in graph.output}
        for k, node in enumerate(graph.node):
            full.update(captured(node))
            follow = self._features(node) if k in self.chosen else []
            full.update(name for place, name in enumerate(node.input) if place not in follow)
        nodes: list[onnx.NodeProto] = []
        for k, node in enumerate(graph.node):
            nodes += self._halve(node, full) if k in self.chosen else [node]
        initializers = [one for one in graph.initializer if one.name in full]
        initializers += [self._half_weight(name) for name in sorted(self._halved & self._weights.keys())]
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]  # the lists own their entries
        initializers = [onnx.TensorProto.FromString(one.SerializeToString()) for one in initializers]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend(initializers)

    def _features(self, node: onnx.NodeProto) -> list[int]:
        """Places of the inputs that follow the node's precision."""
        count = 1 if node.op_type in _FEATURES_ONLY else len(node.input)
        return [k for k in range(count) if node.input[k] in self._floats]

    def _fits(self, node: onnx.NodeProto) -> bool:
        if node.domain or any(name not in self._floats for name in node.output):
            return False
        held = (self._weights[node.input[k]] for k in self._features(node) if node.input[k] in self._weights)
        return all(float(np.abs(numpy_helper.to_array(one)).max(initial=0)) <= LARGEST for one in held)

    def _halve(self, node: onnx.NodeProto, full: set[str]) -> list[onnx.NodeProto]:
        """The node in fp16, between the casts that its neighbours need."""
        before, after = [], []
        for k in self._features(node):
            name = node.input[k]
            if name not in self._halved and name not in self._weights:
                before += self._stored(name, _half(name))
            self._halved.add(name)
            node.input[k] = _half(name)
        for k, name in enumerate(node.output):
            self._halved.add(name)
            node.output[k] = _half(name)
            if self._emulated:
                node.output[k] = f"{name}_exact"
                after += self._stored(f"{name}_exact", _half(name))
            if name in full:
                after.append(_cast(_half(name), name, TensorProto.FLOAT))
        return [*before, node, *after]

    def _stored(self, source: str, target: str) -> list[onnx.NodeProto]:
        """A value in fp16; emulated: in fp32 again, rounded."""
        if not self._emulated:
            return [_cast(source, target, TensorProto.FLOAT16)]
        return [
            _cast(source, f"{target}_stored", TensorProto.FLOAT16),
            _cast(f"{target}_stored", target, TensorProto.FLOAT),
        ]

    def _half_weight(self, name: str) -> TensorProto:
        rounded = numpy_helper.to_array(self._weights[name]).astype(np.float16)
        return numpy_helper.from_array(rounded.astype(np.float32) if self._emulated else rounded, _half(name))


def _half(name: str) -> str:
    return f"{name}_fp16"


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"cast_{target}", to=kind)

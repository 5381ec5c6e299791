"""Builds one ONNX graph node by node: operators and constants in, a ModelProto out. Knows ONNX, not darknet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class Tensor:
    """A value in the graph: float32 (N, channels, height, width), N known only at run time."""

    name: str
    channels: int
    height: int
    width: int


class Graph:
    """Nodes and constants, named in the order in which they were added, so the same calls give the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: int | float | str | list[int]) -> str:
        """Append a node with one output and return the output's name (`out` where given)."""
        name = out or f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], name, None, None, None, **attributes))
        return name

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Append a Split of `value` into parts of `sizes` along `axis`; the parts' names."""
        name = f"split_{len(self._nodes)}"
        outputs = [f"{name}_{part}" for part in range(len(sizes))]
        lengths = self.integers(*sizes)
        self._nodes.append(helper.make_node("Split", [value, lengths], outputs, name=name, axis=axis))
        return outputs

    def constant(self, values: NDArray[np.generic]) -> str:
        """Append an initializer and return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        """A 1-d int64 constant: shapes, bounds, lengths."""
        return self.constant(np.array(values, np.int64))

    def reals(self, values: object) -> str:
        """A float32 constant."""
        return self.constant(np.asarray(values, np.float32))

    def model(self, *, height: int, width: int, anchors: int, classes: int) -> onnx.ModelProto:
        """The model under the contract of `shared.manifest`: `images` in; `boxes` and `scores` out."""
        images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", height, width, 3])
        boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", anchors, 4])
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", anchors, classes])
        graph = helper.make_graph(self._nodes, "detector", [images], [boxes, scores], self._constants)
        return helper.make_model(
            graph,
            producer_name="spotter",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

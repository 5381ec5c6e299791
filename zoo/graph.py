"""Builds one ONNX graph node by node: operators and constants in, a ModelProto out. Knows ONNX, not darknet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from shared.manifest import Interpolation

OPSET = 17
IR_VERSION = 8

IMAGES: dict[Interpolation, int] = {"linear": TensorProto.UINT8, "darknet": TensorProto.FLOAT}
"""Type of the input by how the frames are made."""


@dataclass(frozen=True)
class Tensor:
    """A value in the graph: float32 (N, channels, height, width), N known only at run time.

    Attributes:
        refused: why layers other than the next one cannot read it; empty where they can.
    """

    name: str
    channels: int
    height: int
    width: int
    refused: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width


class Graph:
    """Nodes and constants, named in the order in which they were added, so the same calls give the same bytes.

    The ModelProto is filled in place: `onnx.helper.make_graph` and `make_model` would each copy all the weights.
    """

    def __init__(self) -> None:
        self._model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="spotter")
        self._model.opset_import.append(helper.make_opsetid("", OPSET))
        self._graph = self._model.graph
        self._graph.name = "detector"

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: int | float | str | list[int]) -> str:
        """Append a node with one output and return the output's name (`out` where given)."""
        name = out or f"{op.lower()}_{len(self._graph.node)}"
        self._graph.node.append(helper.make_node(op, inputs, [name], name, None, None, None, **attributes))
        return name

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Append a Split of `value` into parts of `sizes` along `axis`; the parts' names."""
        name = f"split_{len(self._graph.node)}"
        outputs = [f"{name}_{part}" for part in range(len(sizes))]
        lengths = self.integers(*sizes)
        self._graph.node.append(helper.make_node("Split", [value, lengths], outputs, name=name, axis=axis))
        return outputs

    def constant(self, values: NDArray[np.generic]) -> str:
        """Append an initializer and return its name."""
        name = f"constant_{len(self._graph.initializer)}"
        tensor = self._graph.initializer.add()
        tensor.name = name
        tensor.dims.extend(values.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor.raw_data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def integers(self, *values: int) -> str:
        """A 1-d int64 constant: shapes, bounds, lengths."""
        return self.constant(np.array(values, np.int64))

    def reals(self, values: object) -> str:
        """A float32 constant."""
        return self.constant(np.asarray(values, np.float32))

    def model(
        self, *, height: int, width: int, anchors: int, classes: int | None, interpolation: Interpolation
    ) -> onnx.ModelProto:
        """The model under the contract of `shared.manifest`: `images` in; `boxes` and `scores` out.

        `classes` is None for a model that names one class for each box: then `labels` come out too.
        """
        value = helper.make_tensor_value_info
        self._graph.input.append(value("images", IMAGES[interpolation], ["N", height, width, 3]))
        self._graph.output.append(value("boxes", TensorProto.FLOAT, ["N", anchors, 4]))
        if classes is None:
            self._graph.output.append(value("scores", TensorProto.FLOAT, ["N", anchors]))
            self._graph.output.append(value("labels", TensorProto.INT64, ["N", anchors]))
        else:
            self._graph.output.append(value("scores", TensorProto.FLOAT, ["N", anchors, classes]))
        return self._model

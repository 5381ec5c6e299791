"""A ModelProto -> what can be told of it from outside: its inputs and outputs, its notes, the operators it has.

Knows ONNX; knows no exporter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import onnx
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from shared.manifest import Frame
from zoo.adapt.walk import nodes
from zoo.errors import ForeignModelError

REAL = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})
WHOLE = frozenset({TensorProto.INT64, TensorProto.INT32})
_WEIGHTLESS_ABOVE = 4096
_MOST = 1 << 20  # a claim beyond it is not believed: nothing that depends on it is built


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        kind: `TensorProto` data type.
        dims: sizes, None where open; None altogether where not even the rank is known.
    """

    name: str
    kind: int
    dims: tuple[int | None, ...] | None

    def size(self, axis: int) -> int | None:
        """Of one axis; None where it is open or there is no such axis."""
        if self.dims is None or not -len(self.dims) <= axis < len(self.dims):
            return None
        return self.dims[axis]

    @property
    def rank(self) -> int | None:
        return None if self.dims is None else len(self.dims)

    @property
    def plain(self) -> str:
        """The name without TensorFlow's `:0` and scopes."""
        return self.name.split(":")[0].rsplit("/", 1)[-1]

    def __str__(self) -> str:
        sizes = "?" if self.dims is None else ", ".join("?" if size is None else str(size) for size in self.dims)
        return f"{self.name} ({sizes})"


@dataclass(frozen=True)
class Signature:
    """What recognition looks at.

    Attributes:
        notes: `metadata_props`.
        operators: names of all operators in use.
        first: operators that read the image input directly.
        tail: the operator that makes the first output, and the one before it along first inputs; a Concat with its
            axis, as `Concat 2`.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: Mapping[str, str]
    operators: frozenset[str]
    first: frozenset[str]
    tail: tuple[str, ...]

    @property
    def image(self) -> Port:
        """The input that takes the picture: the one of rank 4 with three channels; else the first.

        Raises:
            ForeignModelError: the graph has no input.
        """
        if not self.inputs:
            raise ForeignModelError("The model has no input.")
        pictures = [port for port in self.inputs if port.rank == 4 and 3 in (port.dims or ())]
        return (pictures or list(self.inputs))[0]

    @property
    def channels_last(self) -> bool:
        """Whether the image input is (N, H, W, 3); an input that is silent is taken for (N, 3, H, W)."""
        return self.image.size(-1) == 3 and self.image.size(-3) != 3

    @property
    def batch(self) -> int | None:
        """Pictures in one run as the graph says; None where it is open."""
        return self.image.size(0) if self.image.rank in (4, None) else 1

    @property
    def frame(self) -> tuple[int | None, int | None]:
        """Width and height that the graph fixes; None for what it leaves open."""
        rows, columns = (-3, -2) if self.channels_last else (-2, -1)
        return self.image.size(columns), self.image.size(rows)

    def input(self, name: str) -> Port | None:
        return next((port for port in self.inputs if port.plain == name), None)

    def output(self, *names: str) -> Port | None:
        """The output with one of these plain names."""
        return next((port for port in self.outputs if port.plain in names), None)

    def needs(self, port: Port | None, what: str) -> Port:
        """The port, or an error that says what is missing.

        Raises:
            ForeignModelError: there is none.
        """
        if port is None:
            raise ForeignModelError(f"The model has no {what}; it has {self}.")
        return port

    def __str__(self) -> str:
        ins, outs = (", ".join(map(str, ports[:12])) for ports in (self.inputs, self.outputs))
        return f"inputs {ins or 'none'}; outputs {outs or 'none'}"


def signature_of(model: ModelProto) -> Signature:
    """What a checked model (`zoo.adapt.reading`) looks like from outside."""
    graph = model.graph
    found = Signature(
        inputs=tuple(_port(value) for value in graph.input),
        outputs=tuple(_port(value) for value in graph.output),
        notes={entry.key: entry.value for entry in model.metadata_props},
        operators=frozenset(node.op_type for node in nodes(graph)),
        first=frozenset(),
        tail=(),
    )
    if not found.inputs or not found.outputs:
        raise ForeignModelError(f"A detector has inputs and outputs; the model has {found}.")
    image, result = found.image.name, found.outputs[0].name
    return replace(
        found,
        first=frozenset(node.op_type for node in graph.node if image in node.input),
        tail=tuple(_tail(graph, result, 2)),
    )


def _tail(graph: GraphProto, value: str, length: int) -> Iterator[str]:
    makers = {name: node for node in graph.node for name in node.output}
    for _ in range(length):
        node = makers.get(value)
        if node is None:
            return
        axis = next((f" {attribute.i}" for attribute in node.attribute if attribute.name == "axis"), "")
        yield node.op_type + (axis if node.op_type == "Concat" else "")
        value = node.input[0] if node.input else ""


def sized(model: ModelProto, known: Signature, frame: Frame) -> Signature:
    """The signature for one size of frame, with what follows for the outputs as far as ONNX's shape inference sees.

    Weights are left out of the copy that is inferred on: their values do not matter to shapes. ONNX's propagation of
    data stays off: a hostile constant makes it take all the memory there is.
    """
    light = ModelProto()
    light.CopyFrom(ModelProto(ir_version=model.ir_version, opset_import=model.opset_import))
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() > _WEIGHTLESS_ABOVE:
            tensor = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        light.graph.initializer.append(tensor)
    for value in model.graph.output:
        bare = onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, None)
        light.graph.output.append(bare)
    image = known.image
    place = (frame.height, frame.width, 3) if known.channels_last else (3, frame.height, frame.width)
    image = replace(image, dims=place if image.rank == 3 else (image.size(0), *place))
    for value in light.graph.input:
        if value.name == image.name:
            some = [size or 1 for size in image.dims or ()]
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, image.kind, some))
    try:
        inferred = onnx.shape_inference.infer_shapes(light)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return known  # what is not seen stays open; the runtime has its own inference
    ports = {value.name: _port(value) for value in inferred.graph.output}
    return replace(
        known,
        inputs=tuple(image if port.name == image.name else port for port in known.inputs),
        outputs=tuple(_merge(port, ports.get(port.name)) for port in known.outputs),
    )


def _merge(said: Port, seen: Port | None) -> Port:
    """What the file says and what follows from its nodes; the latter counts where both are known."""
    if seen is None or seen.dims is None:
        return said
    if said.dims is None or len(said.dims) != len(seen.dims):
        return replace(said, dims=seen.dims)
    dims = tuple(old if new is None else new for old, new in zip(said.dims, seen.dims, strict=True))
    return replace(said, dims=dims)


def _port(value: ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    dims = None
    if kind.HasField("shape"):
        dims = tuple(dim.dim_value if 0 < dim.dim_value <= _MOST else None for dim in kind.shape.dim)
    return Port(value.name, kind.elem_type, dims)

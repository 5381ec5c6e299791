"""Nodes around a foreign graph: uint8 frames in front of it, the model contract behind it.

Edits a checked ModelProto in place and keeps its opset: every operator that is added here means the same from opset 10
to the newest, so Split, Squeeze, ReduceMax and Clip, whose signatures changed, are not among them. Knows ONNX and the
contract of `shared.manifest`; knows no exporter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from shared.manifest import Frame
from zoo.adapt.signature import REAL, WHOLE, Port
from zoo.adapt.walk import make_room, prune, references
from zoo.errors import ForeignModelError

OURS = "spotter."
"""What the names of added values begin with."""

_CONTRACT = ("images", "boxes", "scores", "labels")
_ONES = (1.0, 1.0, 1.0)
_TO_END = np.iinfo(np.int64).max


class Wrapper:
    """Build the nodes in front first, `feed` each input, then those behind, `answer` each output, and `finish`."""

    def __init__(self, model: ModelProto, frame: Frame, batch: int | None) -> None:
        """Args:
        batch: how many frames every run takes; None: any number.
        """
        self.frame = frame
        self.batch = batch
        self._model = model
        self._graph = model.graph
        self._renamed = make_room(self._graph, _CONTRACT, OURS)
        self._behind = False
        self._before: list[NodeProto] = []
        self._after: list[NodeProto] = []
        self._fed: set[str] = set()
        self._counted = 0
        self._answers: list[tuple[str, int, list[int | str]]] = []

    # -- nodes ------------------------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str, out: str = "", **attributes: int | list[int] | TensorProto) -> str:
        """Append a node with one output, in front of the foreign graph or behind it; the output's name."""
        name = out or self._name(op.lower())
        node = helper.make_node(op, inputs, [name], name, None, None, None, **attributes)
        (self._after if self._behind else self._before).append(node)
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Append a constant; its name."""
        name = self._name("constant")
        self._graph.initializer.append(helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(values.dtype),
                                                          values.shape, values.tobytes(), raw=True))  # fmt: skip
        return name

    def reals(self, values: object) -> str:
        """A float32 constant."""
        return self.constant(np.asarray(values, np.float32))

    def integers(self, *values: int) -> str:
        """A 1-d int64 constant: shapes, bounds, class numbers."""
        return self.constant(np.array(values, np.int64))

    def _name(self, kind: str) -> str:
        self._counted += 1
        return f"{OURS}{kind}_{self._counted}"

    # -- in front ---------------------------------------------------------------------------------------------------

    def pixels(
        self,
        port: Port,
        *,
        top: float = 255,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = _ONES,
        bgr: bool = False,
        channels_last: bool = False,
    ) -> None:
        """Feed the image input: (pixel - mean) / deviation, each in the channel order of the network.

        Args:
            port: takes (N, 3, H, W), or (3, H, W) where it has rank 3, or (N, H, W, 3) with `channels_last`.
            top: what 255 becomes before the mean is taken away: 255 or 1.
            bgr: whether the network wants blue first.

        Raises:
            ForeignModelError: the input takes another type.
        """
        value = "images"
        if port.kind not in REAL | {TensorProto.UINT8}:
            raise ForeignModelError(f"The input {port.name!r} takes neither real numbers nor bytes.")
        if bgr:
            value = self.add("Gather", value, self.integers(2, 1, 0), axis=3)
        if not channels_last:
            value = self.add("Transpose", value, perm=[0, 3, 1, 2])
        if port.kind != TensorProto.UINT8:
            value = self.add("Cast", value, to=TensorProto.FLOAT)
            shape = (1, 1, 1, 3) if channels_last else (1, 3, 1, 1)
            # In the order and by the operations of the frameworks: the same numbers to the last bit.
            if top != 255:
                value = self.add("Div", value, self.reals(255 / top))
            if any(mean):
                value = self.add("Sub", value, self.reals(np.reshape(mean, shape)))
            if deviation != _ONES:
                value = self.add("Div", value, self.reals(np.reshape(deviation, shape)))
            if port.kind != TensorProto.FLOAT:
                value = self.add("Cast", value, to=port.kind)
        if port.rank == 3:
            value = self.add("Reshape", value, self.integers(3, self.frame.height, self.frame.width))
        self.feed(port, value)

    def repeated(self, port: Port, values: NDArray[np.generic]) -> None:
        """Feed `values` (...) to an input that takes them once for each picture: (N, ...).

        Raises:
            ForeignModelError: the input takes no numbers.
        """
        if port.kind not in REAL | WHOLE | {TensorProto.BOOL}:
            raise ForeignModelError(f"The input {port.name!r} takes no numbers.")
        kind = helper.tensor_dtype_to_np_dtype(port.kind)
        row = self.constant(values.astype(kind)[np.newaxis])
        if self.batch is not None:
            self.feed(port, row)
            return
        count = self.add("Gather", self.add("Shape", "images"), self.integers(0), axis=0)
        shape = self.add("Concat", count, self.integers(*values.shape), axis=0)
        self.feed(port, self.add("Expand", row, shape))

    def feed(self, port: Port, value: str) -> None:
        """Give a value to an input of the foreign graph."""
        self._fed.add(port.name)
        self.add("Identity", value, out=self.inside(port))

    # -- behind -----------------------------------------------------------------------------------------------------

    def inside(self, port: Port) -> str:
        """The name that an input or output of the foreign graph has now."""
        return self._renamed.get(port.name, port.name)

    def take(self, port: Port) -> str:
        """An output of the foreign graph as float32."""
        self._behind = True
        name = self.inside(port)
        return name if port.kind == TensorProto.FLOAT else self.add("Cast", name, to=TensorProto.FLOAT)

    def numbers(self, port: Port) -> str:
        """An output of the foreign graph as int64; reals such as TensorFlow's class numbers are whole already."""
        self._behind = True
        name = self.inside(port)
        return name if port.kind == TensorProto.INT64 else self.add("Cast", name, to=TensorProto.INT64)

    def part(self, value: str, start: int, stop: int | None = None, axis: int = 2) -> str:
        """`value[..., start:stop]` along one axis."""
        bounds = self.integers(start), self.integers(_TO_END if stop is None else stop)
        return self.add("Slice", value, *bounds, self.integers(axis))

    def scaled(self, boxes: str, width: float, height: float) -> str:
        """Boxes (N, A, 4) in a frame of width x height units -> fractions of it."""
        return self.add("Mul", boxes, self.reals(1 / np.array([width, height, width, height], np.float64)))

    def corners(self, boxes: str) -> str:
        """Boxes (N, A, 4): centre x, centre y, width, height -> x1 y1 x2 y2."""
        centre, size = self.part(boxes, 0, 2), self.part(boxes, 2, 4)
        half = self.add("Mul", size, self.reals(0.5))
        return self.add("Concat", self.add("Sub", centre, half), self.add("Add", centre, half), axis=2)

    def x_first(self, boxes: str) -> str:
        """Boxes (N, A, 4): y1 x1 y2 x2 -> x1 y1 x2 y2."""
        return self.add("Gather", boxes, self.integers(1, 0, 3, 2), axis=2)

    def row_of_one(self, value: str, *sizes: int) -> str:
        """(K, *sizes) of the one picture -> (1, K, *sizes)."""
        return self.add("Reshape", value, self.integers(1, -1, *sizes))

    def answer(self, name: str, value: str, kind: int, *sizes: int | str) -> None:
        """Make a value an output of the contract: (N, *sizes)."""
        self.add("Identity", value, out=name)
        self._answers.append((name, kind, [self.batch or "N", *sizes]))

    def detections(self, boxes: str, scores: str, classes: int) -> None:
        """The first form of the contract: boxes (N, A, 4), scores (N, A, C)."""
        self.answer("boxes", boxes, TensorProto.FLOAT, "A", 4)
        self.answer("scores", scores, TensorProto.FLOAT, "A", classes)

    def labelled(self, boxes: str, scores: str, labels: str) -> None:
        """The second form: boxes (N, A, 4), scores (N, A), labels (N, A) int64."""
        self.answer("boxes", boxes, TensorProto.FLOAT, "A", 4)
        self.answer("scores", scores, TensorProto.FLOAT, "A")
        self.answer("labels", labels, TensorProto.INT64, "A")

    def finish(self) -> ModelProto:
        """The wrapped model: its new inputs and outputs, without the nodes and weights that no answer needs.

        Raises:
            ForeignModelError: an answer needs an input that this form of export does not have.
        """
        graph = self._graph
        inner = list(graph.node)
        starving = {value.name for value in graph.input} - {self._renamed.get(name, name) for name in self._fed}
        del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
        images = [self.batch or "N", self.frame.height, self.frame.width, 3]
        graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, images))
        for name, kind, sizes in self._answers:
            graph.output.append(helper.make_tensor_value_info(name, kind, sizes))
        graph.node.extend([*self._before, *inner, *self._after])
        prune(graph)
        starving &= {name for node in graph.node for name in references(node)}
        if starving:
            raise ForeignModelError(f"The model wants inputs that are not known: {', '.join(sorted(starving)[:5])}.")
        return self._model

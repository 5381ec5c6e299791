"""Small ONNX files in the exact signatures of other people's exporters: names, ranks, types, layouts, notes.

Each network is the same: the mean of every channel over the left half of what the network gets, and all outputs affine
in these three numbers. So a swapped channel, axis, picture or normalisation moves every number, and a test works out
what the outputs must be with NumPy alone. Names, types and shapes are those that the real exporters write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]
Dims = Sequence[int | str | None]
WIDTH, HEIGHT = 96, 64
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@dataclass
class Net:
    """One graph under construction, and the numbers in it."""

    opset: int = 17
    ir: int = 8
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, op: str, *inputs: str, out: str = "", **attributes: object) -> str:
        name = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], None, None, None, None, **attributes))
        return name

    def constant(self, values: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def halves(self, image: str, width: int = WIDTH) -> str:
        """(N, 3, H, W) -> (N, 3): the mean of each channel over the left half."""
        left = self.add("Slice", image, self.integers(0), self.integers(width // 2), self.integers(3))
        return self.add("Reshape", self.add("GlobalAveragePool", left), self.integers(-1, 3))

    def affine(self, features: str, weights: Floats, bias: Floats, out: str = "", dtype: int = FLOAT) -> str:
        """(N, 3) -> (N, *bias.shape) = features @ weights + bias."""
        flat = self.add("MatMul", features, self.constant(weights.reshape(3, -1)))
        rows = self.add("Add", flat, self.constant(bias.reshape(1, -1)))
        if dtype == FLOAT:
            return self.add("Reshape", rows, self.integers(-1, *bias.shape), out=out)
        shaped = self.add("Reshape", rows, self.integers(-1, *bias.shape))
        return self.add("Cast", shaped, out=out, to=dtype)

    def save(
        self,
        path: Path,
        inputs: dict[str, tuple[int, Dims]],
        outputs: dict[str, tuple[int, Dims]],
        notes: dict[str, str] | None = None,
    ) -> Path:
        values = [
            [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in ports.items()]
            for ports in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "net", values[0], values[1], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir)
        for key, value in (notes or {}).items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, path)
        return path


@dataclass(frozen=True)
class Affine:
    """Numbers of one output; `at` is what the network answers for features (N, 3)."""

    weights: Floats
    bias: Floats

    def at(self, features: Floats) -> Floats:
        return np.tensordot(features, self.weights, 1) + self.bias


def rows(seed: int, *shape: int, low: float = 0, high: float = 1, swing: float = 0.1) -> Affine:
    """Random numbers around low..high that move with the picture by about `swing` for features of size 1."""
    rng = np.random.default_rng(seed)
    return Affine(rng.normal(0, swing, (3, *shape)), rng.uniform(low, high, shape))


def fixed(values: object) -> Affine:
    """The same for every picture."""
    bias = np.asarray(values, np.float64)
    return Affine(np.zeros((3, *bias.shape)), bias)


# -- TensorFlow Object Detection API, by tf2onnx ----------------------------------------------------------------------


@dataclass(frozen=True)
class Tf:
    """detection_boxes y1 x1 y2 x2, and so on; 5 rows of which `count` are detections."""

    boxes: Affine = field(default_factory=lambda: rows(1, 5, 4, low=0.2, high=0.8, swing=0.001))
    scores: Affine = field(default_factory=lambda: rows(2, 5, low=0.3, high=0.9, swing=0.0005))
    classes: tuple[float, ...] = (1, 3, 2, 90, 1)
    count: float = 4

    def write(
        self,
        path: Path,
        *,
        opset: int = 11,
        name: str = "image_tensor:0",
        suffix: str = ":0",
        batch: int | None = None,
        classes: int | None = None,
        open_rows: bool = False,
    ) -> Path:
        """ssd_mobilenet_v1_10 of the zoo has `image_tensor:0`; TensorFlow 2 exports `input_tensor` for 1 picture, and
        with `classes` the outputs before suppression.
        """
        net = Net(opset)
        features = net.halves(_each_picture(net, net.add("Cast", name, to=FLOAT)))
        outputs: dict[str, tuple[int, Dims]] = {}

        def out(plain: str, numbers: Affine) -> None:
            shape = [None, *[None if open_rows else size for size in numbers.bias.shape]]
            net.affine(features, numbers.weights, numbers.bias, out=plain + suffix)
            outputs[plain + suffix] = (FLOAT, [batch, *shape[1:]])

        out("detection_boxes", self.boxes)
        out("detection_classes", fixed(self.classes))
        out("detection_scores", self.scores)
        out("num_detections", fixed(self.count))
        if classes is not None:
            out("raw_detection_boxes", fixed(np.zeros((7, 4))))
            out("raw_detection_scores", fixed(np.zeros((7, classes + 1))))
            out("detection_anchor_indices", fixed(np.zeros(5)))
        return net.save(path, {name: (TensorProto.UINT8, [batch, None, None, 3])}, outputs)


def _each_picture(net: Net, images: str) -> str:
    """`tf.map_fn` over the pictures (N, H, W, 3), as tf2onnx writes it: a Loop that gathers one picture at a time from
    the graph around it. (N, 3, H, W).
    """
    value = helper.make_tensor_value_info
    around = net.add("Identity", images)  # which nothing reads but the body
    body = helper.make_graph(
        [
            helper.make_node("Gather", [around, "step"], ["picture"], axis=0),
            helper.make_node("Transpose", ["picture"], ["turned"], perm=[2, 0, 1]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["step"], ["next"]),
        ],
        "body",
        [value("step", INT64, []), value("go", TensorProto.BOOL, []), value("state", INT64, [])],
        [value("on", TensorProto.BOOL, []), value("next", INT64, []), value("turned", FLOAT, [3, None, None])],
    )
    count = net.add("Gather", net.add("Shape", images), net.constant(0, np.int64), axis=0)
    inputs = [count, net.constant(True, np.bool_), net.constant(0, np.int64)]
    net.nodes.append(helper.make_node("Loop", inputs, ["steps", "turned_pictures"], body=body))
    return "turned_pictures"


# -- ONNX model zoo ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SsdResnet34:
    boxes: Affine = field(default_factory=lambda: rows(3, 6, 4, low=0.2, high=0.8))
    scores: Affine = field(default_factory=lambda: rows(4, 6, low=0.3, high=0.9))
    classes: tuple[int, ...] = (1, 80, 17, 2, 3, 1)

    def write(self, path: Path) -> Path:
        net = Net(10, 4)
        features = net.halves("image")
        net.affine(features, self.boxes.weights, self.boxes.bias, out="bboxes")
        net.affine(features, np.zeros((3, 6)), np.array(self.classes, np.float64), out="labels", dtype=INT64)
        net.affine(features, self.scores.weights, self.scores.bias, out="scores")
        return net.save(
            path,
            {"image": (FLOAT, [1, 3, HEIGHT, WIDTH])},
            {"bboxes": (FLOAT, [1, "nbox", 4]), "labels": (INT64, [1, "nbox"]), "scores": (FLOAT, [1, "nbox"])},
        )


@dataclass(frozen=True)
class KerasYolo:
    """yolov3-10 and tiny-yolov3-11: boxes y1 x1 y2 x2 times image_shape, scores (1, C, A), suppression in the graph."""

    boxes: Affine = field(default_factory=lambda: rows(5, 7, 4, low=0.1, high=0.9))
    scores: Affine = field(default_factory=lambda: rows(6, 3, 7, low=0.1, high=0.9))

    def write(
        self, path: Path, names: Sequence[str] = ("yolonms_layer_1", "yolonms_layer_1:1", "yolonms_layer_1:2")
    ) -> Path:
        net = Net(10, 5)
        features = net.halves("input_1")
        plain = net.affine(features, self.boxes.weights, self.boxes.bias)
        shape = net.add("Reshape", net.add("Concat", "image_shape", "image_shape", axis=1), net.integers(-1, 1, 4))
        boxes = net.add("Mul", plain, shape, out=names[0])
        scores = net.affine(features, self.scores.weights, self.scores.bias, out=names[1])
        limits = net.integers(20), net.constant([0.5]), net.constant([0.6])
        chosen = net.add("NonMaxSuppression", boxes, scores, *limits)
        net.add("Cast", net.add("Reshape", chosen, net.integers(1, -1, 3)), out=names[2], to=TensorProto.INT32)
        return net.save(
            path,
            {"input_1": (FLOAT, ["N", 3, "M", "K"]), "image_shape": (FLOAT, ["N", 2])},
            {
                names[0]: (FLOAT, [1, "A", 4]),
                names[1]: (FLOAT, [1, 3, "A"]),
                names[2]: (TensorProto.INT32, [1, "B", 3]),
            },
        )


@dataclass(frozen=True)
class Rcnn:
    """Rows that differ in number with the picture: those whose score is above 0.5 stay. Boxes in pixels."""

    boxes: Affine = field(default_factory=lambda: rows(7, 8, 4, low=5, high=60, swing=1))
    scores: Affine = field(default_factory=lambda: rows(8, 8, low=0.3, high=0.7, swing=0.3))
    classes: tuple[int, ...] = (1, 2, 3, 90, 44, 1, 13, 2)

    def _rows(self, net: Net, features: str, names: Sequence[str]) -> None:
        scores = net.add("Reshape", net.affine(features, self.scores.weights, self.scores.bias), net.integers(8))
        boxes = net.add("Reshape", net.affine(features, self.boxes.weights, self.boxes.bias), net.integers(8, 4))
        kept = net.add("NonZero", net.add("Less", net.constant([0.5]), scores))
        kept = net.add("Reshape", kept, net.integers(-1))
        net.add("Gather", boxes, kept, out=names[0], axis=0)
        net.add("Gather", net.constant(self.classes, np.int64), kept, out=names[1], axis=0)
        net.add("Gather", scores, kept, out=names[2], axis=0)

    def write_torchvision(self, path: Path, *, rank: int = 3, opset: int = 17, scores_first: bool = False) -> Path:
        """torchvision's transform is part of the graph: Sub and Div come first."""
        net = Net(opset)
        shape = [3, 1, 1]
        image = net.add("Sub", "input", net.constant(np.reshape([0.485, 0.456, 0.406], shape)))
        image = net.add("Div", image, net.constant(np.reshape([0.229, 0.224, 0.225], shape)))
        image = net.add("Reshape", image, net.integers(1, 3, HEIGHT, WIDTH))
        names = ["boxes", "scores", "labels"] if scores_first else ["boxes", "labels", "scores"]
        self._rows(net, net.halves(image), names)
        kinds = [FLOAT, INT64, FLOAT]
        dims: list[list[str | int]] = [["k", 4], ["k"], ["k"]]
        outputs = {name: (kind, size) for name, kind, size in zip(names, kinds, dims, strict=True)}
        frame = [3, HEIGHT, WIDTH]
        return net.save(path, {"input": (FLOAT, frame if rank == 3 else [1, *frame])}, dict(outputs))

    def write_benchmark(self, path: Path, *, masks: bool = False) -> Path:
        """FasterRCNN-10 and MaskRCNN-10 of the zoo: the input is `image`, the outputs are numbers."""
        net = Net(10, 4)
        image = net.add("Unsqueeze", "image", axes=[0])
        self._rows(net, net.halves(image), ("6379", "6381", "6383"))
        outputs: dict[str, tuple[int, Dims]] = {
            "6379": (FLOAT, ["nbox", 4]),
            "6381": (INT64, ["nbox"]),
            "6383": (FLOAT, ["nbox"]),
        }
        if masks:
            ones = net.constant(np.ones((1, 1, 28, 28)))
            net.add("Mul", net.add("Reshape", "6383", net.integers(-1, 1, 1, 1)), ones, out="6887")
            outputs["6887"] = (FLOAT, ["nbox", 1, 28, 28])
        return net.save(path, {"image": (FLOAT, [3, "height", "width"])}, outputs)

"""Small ONNX files in the signatures of YOLO and DETR exporters; see `onnx_exports` for the network inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import TensorProto

from tests.zoo.onnx_exports import FLOAT, HEIGHT, INT64, WIDTH, Affine, Dims, Net, rows

# -- YOLO -------------------------------------------------------------------------------------------------------------

CELLS = sum((HEIGHT // stride) * (WIDTH // stride) for stride in (8, 16, 32))


@dataclass(frozen=True)
class Yolo:
    """Rows (A, `wide`): centre and size in pixels first."""

    numbers: Affine

    @classmethod
    def of(cls, many: int, wide: int, seed: int = 9) -> Yolo:
        boxes, rest = rows(seed, many, 4, low=10, high=60, swing=2), rows(seed + 1, many, wide - 4, low=0.1, high=0.9)
        return cls(
            Affine(np.concatenate([boxes.weights, rest.weights], -1), np.concatenate([boxes.bias, rest.bias], -1))
        )

    def write(
        self,
        path: Path,
        *,
        columns: bool = False,
        notes: dict[str, str] | None = None,
        dynamic: bool = False,
        half: bool = False,
        masks: bool = False,
        opset: int = 17,
    ) -> Path:
        """`images` -> `output0` (N, A, wide), or (N, wide, A) with `columns`, as Ultralytics exports them."""
        net = Net(opset)
        image = net.add("Cast", "images", to=FLOAT) if half else "images"
        shape = self.numbers.bias.shape
        inner = net.affine(net.halves(image), self.numbers.weights, self.numbers.bias)
        if columns:
            inner, shape = net.add("Transpose", inner, perm=[0, 2, 1]), shape[::-1]
        kind = TensorProto.FLOAT16 if half else FLOAT
        net.add("Cast", inner, out="output0", to=kind)
        size: Dims = ["batch", 3, "height", "width"] if dynamic else [1, 3, HEIGHT, WIDTH]
        told: Dims = ["batch", *(("d1", "d2") if dynamic else shape)] if dynamic else [1, *shape]
        outputs: dict[str, tuple[int, Dims]] = {"output0": (kind, told)}
        if masks:
            net.add("Mul", image, net.constant(2.0), out="output1")
            outputs["output1"] = (FLOAT, [1, 32, 16, 24])
        return net.save(path, {"images": (kind, size)}, outputs, notes)


@dataclass(frozen=True)
class Yolox:
    """`tools/export_onnx.py`: per grid (N, 5 + C, cells), joined, turned; obj and classes are probabilities already."""

    numbers: Affine = field(default_factory=lambda: rows(11, CELLS, 5 + 3, low=-1, high=1, swing=0.002))

    def write(self, path: Path, *, decoded: bool = False, batch: int | str = 1, open_sizes: bool = False) -> Path:
        net = Net(11, 6)
        features = net.halves("images")
        parts, start = [], 0
        for stride in (8, 16, 32):
            stop = start + (HEIGHT // stride) * (WIDTH // stride)
            weights, bias = self.numbers.weights[:, start:stop], self.numbers.bias[start:stop]
            raw = net.affine(features, weights.transpose(0, 2, 1), bias.T)
            box = net.add("Slice", raw, net.integers(0), net.integers(4), net.integers(1))
            rest = net.add("Slice", raw, net.integers(4), net.integers(8), net.integers(1))
            parts.append(net.add("Concat", box, net.add("Sigmoid", rest), axis=1))
            start = stop
        joined = net.add("Concat", *parts, axis=2)
        out = net.add("Transpose", joined, out="" if decoded else "output", perm=[0, 2, 1])
        if decoded:
            self._decode(net, out)
        told: Dims = [batch, "a", "b"] if open_sizes else [batch, CELLS, 8]
        return net.save(path, {"images": (FLOAT, [batch, 3, HEIGHT, WIDTH])}, {"output": (FLOAT, told)})

    @staticmethod
    def _decode(net: Net, out: str) -> None:
        places = [(x, y, s) for s in (8, 16, 32) for y in range(HEIGHT // s) for x in range(WIDTH // s)]
        grid, stride = net.constant([p[:2] for p in places]), net.constant([[p[2]] for p in places])
        part = [
            net.add("Slice", out, net.integers(a), net.integers(b), net.integers(2))
            for a, b in ((0, 2), (2, 4), (4, 8))
        ]
        centre = net.add("Mul", net.add("Add", part[0], grid), stride)
        size = net.add("Mul", net.add("Exp", part[1]), stride)
        net.add("Concat", centre, size, part[2], out="output", axis=-1)


# -- DETR -------------------------------------------------------------------------------------------------------------


QUERIES = 100


@dataclass(frozen=True)
class Detr:
    """Queries: logits (N, Q, C) and boxes (N, Q, 4) centre and size in 0..1."""

    logits: Affine
    boxes: Affine = field(default_factory=lambda: rows(13, QUERIES, 4, low=0.2, high=0.6, swing=0.05))

    def write(
        self,
        path: Path,
        *,
        mask: tuple[int | str, int | str] | None = None,
        sampling: bool = False,
        names: tuple[str, str] = ("logits", "pred_boxes"),
        image: str = "pixel_values",
    ) -> Path:
        """Hugging Face's exports; `sampling`: the operator of deformable attention is in the graph."""
        net = Net(16)
        source = image
        if sampling:  # onto itself: the identity grid
            x, y = ((np.arange(size) * 2 + 1) / size - 1 for size in (WIDTH, HEIGHT))
            grid = net.constant(np.stack(np.meshgrid(x, y), -1)[np.newaxis])
            count = net.add("Gather", net.add("Shape", image), net.integers(0), axis=0)
            shape = net.add("Concat", count, net.integers(HEIGHT, WIDTH, 2), axis=0)
            source = net.add("GridSample", image, net.add("Expand", grid, shape))
        features = net.halves(source)
        logits = net.affine(features, self.logits.weights, self.logits.bias, out="" if mask else names[0])
        inputs: dict[str, tuple[int, Dims]] = {image: (FLOAT, ["batch", 3, HEIGHT, WIDTH])}
        if mask:  # where the mask is not all ones, the logits are not what they should be
            count = net.add("ReduceMean", net.add("Cast", "pixel_mask", to=FLOAT), axes=[1, 2], keepdims=1)
            net.add("Mul", logits, count, out=names[0])
            inputs["pixel_mask"] = (INT64, ["batch", *mask])
        net.affine(features, self.boxes.weights, self.boxes.bias, out=names[1])
        wide = self.logits.bias.shape[1]
        return net.save(
            path, inputs, {names[0]: (FLOAT, ["batch", QUERIES, wide]), names[1]: (FLOAT, ["batch", QUERIES, 4])}
        )


@dataclass(frozen=True)
class RtDetr:
    """RT-DETR's own export: the best pairs are chosen in the graph, boxes are corners times orig_target_sizes."""

    boxes: Affine = field(default_factory=lambda: rows(15, 6, 4, low=0.1, high=0.9))
    scores: Affine = field(default_factory=lambda: rows(16, 6, low=0.2, high=0.9))
    classes: tuple[int, ...] = (0, 79, 2, 5, 5, 1)

    def write(self, path: Path) -> Path:
        net = Net(16)
        features = net.halves("images")
        net.affine(features, np.zeros((3, 6)), np.array(self.classes, np.float64), out="labels", dtype=INT64)
        plain = net.affine(features, self.boxes.weights, self.boxes.bias)
        sizes = net.add("Concat", "orig_target_sizes", "orig_target_sizes", axis=1)
        sizes = net.add("Cast", net.add("Reshape", sizes, net.integers(-1, 1, 4)), to=FLOAT)
        net.add("Mul", plain, sizes, out="boxes")
        net.affine(features, self.scores.weights, self.scores.bias, out="scores")
        return net.save(
            path,
            {"orig_target_sizes": (INT64, ["N", 2]), "images": (FLOAT, ["N", 3, HEIGHT, WIDTH])},
            {"labels": (INT64, ["N", 6]), "boxes": (FLOAT, ["N", 6, 4]), "scores": (FLOAT, ["N", 6])},
        )

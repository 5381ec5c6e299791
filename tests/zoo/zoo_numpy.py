"""A plain float64 forward pass of small darknet networks: the second independent reference, written from darknet's C.

Slow on purpose: loops where darknet loops, batch norm unfolded, boxes decoded cell by cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.zoo.zoo_random import sections

Floats = NDArray[np.float64]
Values = list[dict[str, np.ndarray]]


def forward(cfg: str, values: Values, images: np.ndarray) -> tuple[Floats, Floats]:
    """Boxes (N, A, 4) x1 y1 x2 y2 and scores (N, A, C), float64, for uint8 (N, H, W, 3) images."""
    (_, net), *layers = sections(cfg)
    size = (int(net["width"]), int(net["height"]))
    value = images.transpose(0, 3, 1, 2).astype(np.float64) / 255
    outputs: list[np.ndarray] = []
    heads: list[tuple[Floats, Floats]] = []
    for (kind, options), weights in zip(layers, values, strict=True):
        if kind == "convolutional":
            value = _convolutional(value, options, weights)
        elif kind == "maxpool":
            value = _maxpool(value, options)
        elif kind == "upsample":
            stride = int(options["stride"])
            value = value.repeat(stride, axis=2).repeat(stride, axis=3)
        elif kind == "route":
            value = np.concatenate([_part(outputs[int(at)], options) for at in options["layers"].split(",")], axis=1)
        elif kind == "shortcut":
            value = _activate(value + outputs[int(options["from"])], options.get("activation", "linear"))
        elif kind == "yolo":
            heads.append(_yolo(value, options, size))
        outputs.append(value)
    return np.concatenate([boxes for boxes, _ in heads], axis=1), np.concatenate(
        [scores for _, scores in heads], axis=1
    )


def _activate(value: Floats, name: str) -> Floats:
    if name == "leaky":
        return np.where(value > 0, value, 0.1 * value)
    if name == "relu":
        return np.asarray(np.maximum(value, 0))
    if name == "logistic":
        return np.asarray(1 / (1 + np.exp(-value)))
    assert name == "linear"
    return value


def _convolutional(value: Floats, options: dict[str, str], weights: dict[str, np.ndarray]) -> Floats:
    size, stride, groups = (int(options.get(key, 1)) for key in ("size", "stride", "groups"))
    pad = size // 2 if options.get("pad") == "1" else int(options.get("padding", 0))
    padded = np.pad(value, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    kernel = weights["kernel"].astype(np.float64)
    height, width = ((length - size) // stride + 1 for length in padded.shape[2:])
    out = np.zeros((len(value), len(kernel), height, width))
    share_in, share_out = value.shape[1] // groups, len(kernel) // groups
    for group in range(groups):
        own = slice(group * share_out, (group + 1) * share_out)
        source = padded[:, group * share_in : (group + 1) * share_in]
        for row in range(height):
            for column in range(width):
                patch = source[:, :, row * stride : row * stride + size, column * stride : column * stride + size]
                out[:, own, row, column] = np.einsum("ncij,fcij->nf", patch, kernel[own])
    if "scale" in weights:
        scale, mean, variance = (
            weights[key].astype(np.float64)[:, None, None] for key in ("scale", "mean", "variance")
        )
        out = (out - mean) / (np.sqrt(variance) + 1e-6) * scale
    return _activate(out + weights["bias"][:, None, None], options.get("activation", "logistic"))


def _maxpool(value: Floats, options: dict[str, str]) -> Floats:
    stride = int(options.get("stride", 1))
    size = int(options.get("size", stride))
    padding = int(options.get("padding", size - 1))
    high, wide = value.shape[2:]
    height, width = ((length + padding - size) // stride + 1 for length in (high, wide))
    out = np.full((*value.shape[:2], height, width), -np.inf)
    for row in range(height):
        for column in range(width):
            for i in range(size):
                for j in range(size):
                    y, x = row * stride + i - padding // 2, column * stride + j - padding // 2
                    if 0 <= y < high and 0 <= x < wide:
                        out[:, :, row, column] = np.maximum(out[:, :, row, column], value[:, :, y, x])
    return out


def _part(value: Floats, options: dict[str, str]) -> Floats:
    groups, group = int(options.get("groups", 1)), int(options.get("group_id", 0))
    share = value.shape[1] // groups
    return value[:, group * share : (group + 1) * share]


def _yolo(value: Floats, options: dict[str, str], net: tuple[int, int]) -> tuple[Floats, Floats]:
    numbers = [float(part) for part in options["anchors"].split(",")]
    mask = [int(part) for part in options["mask"].split(",")]
    classes, stretch = int(options["classes"]), float(options.get("scale_x_y", 1))
    batch, _, height, width = value.shape
    boxes, scores = [], []
    for row in range(height):
        for column in range(width):
            for place, anchor in enumerate(mask):
                own = value[:, place * (5 + classes) : (place + 1) * (5 + classes), row, column]
                centre = _activate(own[:, :2], "logistic") * stretch - (stretch - 1) / 2
                x = (column + centre[:, 0]) / width
                y = (row + centre[:, 1]) / height
                w = np.exp(own[:, 2]) * numbers[2 * anchor] / net[0]
                h = np.exp(own[:, 3]) * numbers[2 * anchor + 1] / net[1]
                boxes.append(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1))
                scores.append(_activate(own[:, 5:], "logistic") * _activate(own[:, 4:5], "logistic"))
    return np.stack(boxes, axis=1).reshape(batch, -1, 4), np.stack(scores, axis=1).reshape(batch, -1, classes)

"""A plain float64 forward pass of small darknet networks: the second independent reference, written from darknet's C.

Slow on purpose: loops where darknet loops, batch norm unfolded, boxes decoded cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from tests.zoo.zoo_activations import Floats, activated
from tests.zoo.zoo_random import Values, sections
from tests.zoo.zoo_shapes import Options, steps

Weights = dict[str, np.ndarray]


def forward(cfg: str, values: Values, images: np.ndarray) -> tuple[Floats, Floats]:
    """Boxes (N, A, 4) x1 y1 x2 y2 and scores (N, A, C), float64, for uint8 (N, H, W, 3) images."""
    (_, net), *layers = sections(cfg)
    size = (int(net["width"]), int(net["height"]))
    outputs = layer_outputs(cfg, values, images)
    heads = [_yolo(outputs[at], options, size) for at, (kind, options) in enumerate(layers) if kind == "yolo"]
    return np.concatenate([boxes for boxes, _ in heads], axis=1), np.concatenate(
        [scores for _, scores in heads], axis=1
    )


def layer_outputs(cfg: str, values: Values, images: np.ndarray) -> list[Floats]:
    """The output of each layer, float64 (N, C, H, W), for uint8 (N, H, W, 3) images; of a head its input."""
    _, *layers = sections(cfg)
    value = images.transpose(0, 3, 1, 2).astype(np.float64) / 255
    outputs: list[Floats] = []
    known: Values = []
    for (kind, options), weights in zip(layers, values, strict=True):
        known.append(known[int(options["share_index"])] if "share_index" in options else weights)
        own = {name: array.astype(np.float64) for name, array in known[-1].items()}
        value = LAYERS[kind](value, options, own, outputs)
        outputs.append(value)
    return outputs


def _normalized(value: Floats, weights: Weights) -> Floats:
    scale, mean, variance = (weights[key][:, None, None] for key in ("scale", "mean", "variance"))
    return np.asarray((value - mean) / np.sqrt(variance + 1e-5) * scale)


def _correlated(
    value: Floats, kernel: Floats, strides: tuple[int, int], pad: int, dilation: int, groups: int
) -> Floats:
    size = kernel.shape[-1]
    reach = (size - 1) * dilation + 1
    padded = np.pad(value, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = ((length - reach) // step + 1 for length, step in zip(padded.shape[2:], strides, strict=True))
    out = np.zeros((len(value), len(kernel), height, width))
    share_in, share_out = value.shape[1] // groups, len(kernel) // groups
    for group, row, column in product(range(groups), range(height), range(width)):
        own = slice(group * share_out, (group + 1) * share_out)
        top, left = row * strides[0], column * strides[1]
        patch = padded[:, group * share_in : (group + 1) * share_in, top : top + reach, left : left + reach]
        out[:, own, row, column] = np.einsum("ncij,fcij->nf", patch[:, :, ::dilation, ::dilation], kernel[own])
    return out


def _blurred(value: Floats, options: Options) -> Floats:
    kind = options.get("antialiasing", "0")
    if kind == "0":
        return value
    kernel = np.full((2, 2), 0.25) if kind == "2" else np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    channels = value.shape[1]
    kernels = np.repeat(kernel[None, None], channels, axis=0)
    return _correlated(value, kernels, steps(options), 0 if kind == "2" else 1, 1, channels)


def _host(options: Options) -> tuple[int, int]:
    return (1, 1) if options.get("antialiasing", "0") != "0" else steps(options)


def _convolutional(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    size, groups, dilation = (int(options.get(key, 1)) for key in ("size", "groups", "dilation"))
    dilation = 1 if size == 1 else dilation
    pad = size // 2 if options.get("pad") == "1" else int(options.get("padding", 0))
    kernel = weights["kernel"]
    if options.get("flipped") == "1":  # transpose_matrix
        kernel = kernel.reshape(-1, len(kernel)).T.reshape(kernel.shape)
    out = _correlated(value, kernel, _host(options), pad * dilation, dilation, groups)
    out = _normalized(out, weights) if "scale" in weights else out
    out = activated(out + weights["bias"][:, None, None], options.get("activation", "logistic"))
    return _blurred(out, options)


def _connected(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    out = (value.reshape(len(value), -1) @ weights["kernel"].T)[..., None, None]
    out = _normalized(out, weights) if "scale" in weights else out
    return activated(out + weights["bias"][:, None, None], options.get("activation", "logistic"))


def _windows(value: Floats, options: Options, reduce: Callable[[list[Floats]], Floats]) -> Floats:
    """`reduce` of the values of each window that lie inside of the input."""
    strides = _host(options)
    size = int(options.get("size", options.get("stride", 1)))
    padding = int(options.get("padding", size - 1))
    high, wide = value.shape[2:]
    height, width = ((length + padding - size) // step + 1 for length, step in zip((high, wide), strides, strict=True))
    out = np.zeros((*value.shape[:2], height, width))
    for row, column in product(range(height), range(width)):
        places = [
            (row * strides[0] + i - padding // 2, column * strides[1] + j - padding // 2)
            for i, j in product(range(size), range(size))
        ]
        out[:, :, row, column] = reduce([value[:, :, y, x] for y, x in places if 0 <= y < high and 0 <= x < wide])
    return out


def _maxpool(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    if options.get("maxpool_depth") == "1":
        channels = int(options.get("out_channels", 1))
        return np.stack([value[:, own::channels].max(axis=1) for own in range(channels)], axis=1)
    return _blurred(_windows(value, options, lambda inside: np.max(inside, axis=0)), options)


def _local_avgpool(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return _windows(value, options, lambda inside: np.mean(inside, axis=0))


def _avgpool(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return np.asarray(value.mean(axis=(2, 3), keepdims=True))


def _upsample(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    stride, scale = int(options.get("stride", 2)), float(options.get("scale", 1))
    if stride > 0:
        return value.repeat(stride, axis=2).repeat(stride, axis=3) * scale
    step = -stride
    out = np.zeros((*value.shape[:2], value.shape[2] // step, value.shape[3] // step))
    for i, j in product(range(value.shape[2]), range(value.shape[3])):
        out[:, :, i // step, j // step] += scale * value[:, :, i, j]
    return out


def _reorg_cpu(value: Floats, shape: tuple[int, int, int], stride: int, forward: bool) -> Floats:
    """`reorg_cpu` of `blas.c`, index by index, over flat arrays; `shape` is what it is told: C, H, W."""
    channels, height, width = shape
    inner = channels // stride**2
    out = np.zeros((len(value), channels * height * width))
    flat = value.reshape(len(value), -1)
    for k, j, i in product(range(channels), range(height), range(width)):
        here = i + width * (j + height * k)
        down, across = j * stride + k // inner // stride, i * stride + k // inner % stride
        there = across + width * stride * (down + height * stride * (k % inner))
        out[:, there if forward else here] = flat[:, here if forward else there]
    return out


def _reorg(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    count, channels, height, width = value.shape
    stride, reverse = int(options.get("stride", 1)), options.get("reverse") == "1"
    if options.get("flatten") == "1":
        flat = value.reshape(count, height * width, channels) if reverse else value.reshape(count, channels, -1)
        out = flat.transpose(0, 2, 1).reshape(count, -1)
    else:
        out = _reorg_cpu(value, (channels, height, width), stride, reverse)
    return _after_reorg(out, value, stride, reverse)


def _reorg3d(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    stride, reverse = int(options.get("stride", 1)), options.get("reverse") == "1"
    shape = _after_reorg(value, value, stride, reverse).shape
    return _after_reorg(_reorg_cpu(value, shape[1:], stride, reverse), value, stride, reverse)


def _after_reorg(out: Floats, value: Floats, stride: int, reverse: bool) -> Floats:
    count, channels, height, width = value.shape
    if reverse:
        return out.reshape(count, channels // stride**2, height * stride, width * stride)
    return out.reshape(count, channels * stride**2, height // stride, width // stride)


def _route(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    groups, group = int(options.get("groups", 1)), int(options.get("group_id", 0))
    parts = []
    for source in (outputs[int(at)] for at in options["layers"].split(",")):
        share = source.shape[1] // groups
        parts.append(source[:, group * share : (group + 1) * share])
    return np.concatenate(parts, axis=1)


def _shortcut(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    others = [outputs[int(at)] for at in options["from"].split(",")]
    out = value.copy()
    if "weights" in weights:  # shortcut_multilayer_cpu after fuse_conv_batchnorm
        factors = weights["weights"]
        how = options.get("weights_normalization", "none")
        if how in ("relu", "avg_relu"):
            factors = np.where(factors > 0.001, factors, 0.001)
        elif how == "softmax":
            factors = np.exp(factors - factors.max(axis=0))
        factors = factors if how == "none" else factors / (factors.sum(axis=0) + 0.0001)
        out *= factors[0][:, None, None]
        others = [other[:, : value.shape[1]] for other in others]
        each = [factor[: other.shape[1], None, None] for other, factor in zip(others, factors[1:], strict=True)]
        others = [other * factor for other, factor in zip(others, each, strict=True)]
    alpha, beta = (float(options.get(key, 1)) for key in ("alpha", "beta"))
    for other in others:  # shortcut_cpu
        stride, sample = max(1, other.shape[3] // value.shape[3]), max(1, value.shape[3] // other.shape[3])
        channels, height, width = (min(pair) for pair in zip(value.shape[1:], other.shape[1:], strict=True))
        for k, j, i in product(range(channels), range(height), range(width)):
            place = (slice(None), k, j * sample, i * sample)
            out[place] = alpha * out[place] + beta * other[:, k, j * stride, i * stride]
    return activated(out, options.get("activation", "linear"))


def _sam(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return activated(value * outputs[int(options["from"])], options.get("activation", "linear"))


def _implicit(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return np.repeat(weights["weights"][None, :, :, None], len(value), axis=0)


def _batchnorm(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return _normalized(value, weights) + weights["bias"][:, None, None]


def _activation(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return activated(value, options.get("activation", "linear"))


def _itself(value: Floats, options: Options, weights: Weights, outputs: list[Floats]) -> Floats:
    return value


LAYERS: dict[str, Callable[[Floats, Options, Weights, list[Floats]], Floats]] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "batchnorm": _batchnorm,
    "maxpool": _maxpool,
    "local_avgpool": _local_avgpool,
    "avgpool": _avgpool,
    "upsample": _upsample,
    "reorg": _reorg,
    "reorg3d": _reorg3d,
    "route": _route,
    "shortcut": _shortcut,
    "sam": _sam,
    "scale_channels": _sam,
    "implicit": _implicit,
    "activation": _activation,
    "dropout": _itself,
    "empty": _itself,
    "yolo": _itself,
}


def _yolo(value: Floats, options: Options, net: tuple[int, int]) -> tuple[Floats, Floats]:
    numbers = [float(part) for part in options["anchors"].split(",")]
    mask = [int(part) for part in options["mask"].split(",")]
    classes, stretch = int(options["classes"]), float(options.get("scale_x_y", 1))
    batch, _, height, width = value.shape
    boxes, scores = [], []
    for row, column, (place, anchor) in product(range(height), range(width), enumerate(mask)):
        own = value[:, place * (5 + classes) : (place + 1) * (5 + classes), row, column]
        centre = activated(own[:, :2], "logistic") * stretch - (stretch - 1) / 2
        x = (column + centre[:, 0]) / width
        y = (row + centre[:, 1]) / height
        w = np.exp(own[:, 2]) * numbers[2 * anchor] / net[0]
        h = np.exp(own[:, 3]) * numbers[2 * anchor + 1] / net[1]
        boxes.append(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1))
        scores.append(activated(own[:, 5:], "logistic") * activated(own[:, 4:5], "logistic"))
    return np.stack(boxes, axis=1).reshape(batch, -1, 4), np.stack(scores, axis=1).reshape(batch, -1, classes)

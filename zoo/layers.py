"""Darknet layers -> ONNX nodes. A new layer is a function and a line in `LAYERS`; heads are in `zoo/heads.py`.

An emitter reads its options from the cfg section, its values from the weights (in darknet's file order), appends nodes
and returns its output tensor; None for a head. Names, defaults and paddings are those of darknet's `parser.c`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo import heads
from zoo.cfg import Section
from zoo.graph import Graph, Tensor
from zoo.network import Network
from zoo.weights import Floats

Emitter = Callable[[Network, Section], Tensor | None]

# darknet's normalize_cpu divides by sqrt(variance) + .000001
BATCH_NORM_EPSILON = 1e-6

ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "linear": lambda graph, value: value,
    "leaky": lambda graph, value: graph.add("LeakyRelu", value, alpha=0.1),
    "relu": lambda graph, value: graph.add("Relu", value),
    "logistic": lambda graph, value: graph.add("Sigmoid", value),
}

# Options that change what a layer computes and are not converted: the only value of each that may stand in a cfg.
REFUSED: dict[str, dict[str, str]] = {
    "convolutional": {
        "binary": "0",
        "xnor": "0",
        "flipped": "0",
        "dilation": "1",
        "antialiasing": "0",
        "stride_x": "",
        "stride_y": "",
        "share_index": "",
    },
    "maxpool": {"maxpool_depth": "0", "antialiasing": "0", "stride_x": "", "stride_y": ""},
    "shortcut": {"weights_type": "none"},
}


def emit(net: Network, section: Section) -> None:
    """Append one layer to the network.

    Raises:
        CfgError: the layer or one of its options is not supported, or does not fit the layers before.
        WeightsError: the weights file ends before this layer's values.
    """
    emitter = LAYERS.get(section.kind)
    if emitter is None:
        raise section.error(f"is not a supported layer; supported are {', '.join(sorted(LAYERS))}")
    for key, allowed in REFUSED.get(section.kind, {}).items():
        if section.word(key, allowed) != allowed:
            raise section.error(f"{key}={section.options[key]} is not supported")
    output = emitter(net, section)
    net.outputs.append(output)
    if output is not None:
        net.current = output


def activate(net: Network, section: Section, value: str, default: str) -> str:
    """Append the section's activation. Raises CfgError for one that is not in `ACTIVATIONS`."""
    name = section.word("activation", default)
    activation = ACTIVATIONS.get(name)
    if activation is None:
        raise section.error(f"activation={name} is not supported; supported are {', '.join(sorted(ACTIVATIONS))}")
    return activation(net.graph, value)


def convolutional(net: Network, section: Section) -> Tensor:
    """Convolution, batch norm folded into its weights, activation. `pad=1` pads by size // 2, else `padding` counts."""
    source = net.current
    filters = section.number("filters", 1, low=1)
    size = section.number("size", 1, low=1, high=1024)
    stride = section.number("stride", 1, low=1, high=1024)
    groups = section.number("groups", 1, low=1)
    padding = size // 2 if section.number("pad", 0) else section.number("padding", 0, high=1024)
    if source.channels % groups or filters % groups:
        raise section.error(f"groups={groups} does not divide {source.channels} channels into {filters} filters")
    height = (source.height + 2 * padding - size) // stride + 1
    width = (source.width + 2 * padding - size) // stride + 1
    if min(height, width) < 1:
        raise section.error(f"leaves nothing of its input of {source.width} x {source.height}")
    bias = net.weights.take(filters)
    norm = net.weights.take(3, filters) if section.number("batch_normalize", 0) else None
    kernel = net.weights.take(filters, source.channels // groups, size, size)
    if norm is not None:
        kernel, bias = _fold(kernel, bias, norm)
    value = source.name
    if value == net.frame:
        value = net.graph.add("Concat", value, value, axis=1)
        kernel = _in_two(kernel.astype(np.float64) / 255)
    name = net.graph.add(
        "Conv",
        value,
        net.graph.constant(kernel),
        net.graph.constant(bias),
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[padding] * 4,
        group=groups,
    )
    return Tensor(activate(net, section, name, "logistic"), filters, height, width)


def _in_two(kernel: NDArray[np.float64]) -> Floats:
    """A kernel (filters, channels, h, w) -> (filters, 2 * channels, h, w) for the same input twice; the halves add up
    to it, and the first is exact in bf16.

    Where a device computes in bf16, rounding the first layer's weights alone moves confidences by 0.02; rounded in two
    parts they keep 16 bits instead of 8. Pixels are whole numbers up to 255, which bf16 holds exactly. Costs 3 % of a
    run of yolov3-tiny.
    """
    bits = kernel.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)  # to nearest, ties to even
    coarse = rounded.view(np.float32)
    return np.concatenate([coarse, (kernel - coarse).astype(np.float32)], axis=1)


def _fold(kernel: Floats, bias: Floats, norm: Floats) -> tuple[Floats, Floats]:
    """Kernel and bias of one convolution that equals convolution, then batch norm. `norm`: scales, means, variances.

    In float64, so that the folded values are the nearest float32; one filter's factor is one number.
    """
    scale, mean, variance = norm.astype(np.float64)
    factor = scale / (np.sqrt(variance) + BATCH_NORM_EPSILON)
    folded = kernel * factor[:, None, None, None]
    return folded.astype(np.float32), (bias - mean * factor).astype(np.float32)


def maxpool(net: Network, section: Section) -> Tensor:
    """Max pooling. `padding` (default size - 1) is the sum of both sides; the smaller half lies left and top.

    So a size of 2 pads right and bottom only, and with stride 1 keeps the size (darknet `maxpool_layer.c`).
    """
    source = net.current
    stride = section.number("stride", 1, low=1, high=1024)
    size = section.number("size", stride, low=1, high=1024)
    padding = section.number("padding", size - 1, high=1024)
    before = padding // 2
    out: list[int] = []
    after: list[int] = []
    for length in (source.height, source.width):
        count = (length + padding - size) // stride + 1
        if length + padding < size:
            raise section.error(f"leaves nothing of its input of {source.width} x {source.height}")
        out.append(count)
        after.append(max(0, (count - 1) * stride + size - length - before))
    if max(before, *after) >= size:
        raise section.error(f"padding={padding} is too large for size={size}")
    name = net.graph.add(
        "MaxPool",
        source.name,
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=[before, before, *after],
    )
    return Tensor(name, source.channels, out[0], out[1])


def upsample(net: Network, section: Section) -> Tensor:
    """Each value becomes a square of `stride` x `stride`, times `scale`."""
    source = net.current
    stride = section.number("stride", 2, low=1, high=64)
    scale = section.real("scale", 1.0)
    name = net.graph.add(
        "Resize",
        source.name,
        "",
        net.graph.reals([1, 1, stride, stride]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    if scale != 1:
        name = net.graph.add("Mul", name, net.graph.reals(scale))
    return Tensor(name, source.channels, source.height * stride, source.width * stride)


def route(net: Network, section: Section) -> Tensor:
    """Outputs of other layers, one behind the other along the channels; with `groups`, part `group_id` of each."""
    indices = section.numbers("layers")
    groups = section.number("groups", 1, low=1)
    group = section.number("group_id", 0, high=groups - 1)
    if not indices:
        raise section.error("names no layers")
    sources = [net.layer(index, section) for index in indices]
    if len({(source.height, source.width) for source in sources}) > 1:
        raise section.error("joins layers of different sizes")
    parts: list[str] = []
    for source in sources:
        if source.channels % groups:
            raise section.error(f"groups={groups} does not divide {source.channels} channels")
        share = source.channels // groups
        cut = (net.graph.integers(edge) for edge in (group * share, (group + 1) * share, 1))
        parts.append(source.name if groups == 1 else net.graph.add("Slice", source.name, *cut))
    name = parts[0] if len(parts) == 1 else net.graph.add("Concat", *parts, axis=1)
    channels = sum(source.channels for source in sources) // groups
    return Tensor(name, channels, sources[0].height, sources[0].width)


def shortcut(net: Network, section: Section) -> Tensor:
    """The sum of the layer before and the layer `from`, then the activation. Both must be of one shape."""
    source = net.current
    indices = section.numbers("from")
    if len(indices) != 1:
        raise section.error("takes exactly one layer in `from`")
    other = net.layer(indices[0], section)
    if (other.channels, other.height, other.width) != (source.channels, source.height, source.width):
        raise section.error("joins layers of different shapes, which is not supported")
    name = net.graph.add("Add", source.name, other.name)
    return Tensor(activate(net, section, name, "linear"), source.channels, source.height, source.width)


LAYERS: dict[str, Emitter] = {
    "convolutional": convolutional,
    "maxpool": maxpool,
    "upsample": upsample,
    "route": route,
    "shortcut": shortcut,
    **heads.HEADS,
}

"""[convolutional], [connected] and [batchnorm]: the layers whose weights are sums over their input or scale it.

Values are read in darknet's file order; batch norm is folded into the kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.cfg import Section
from zoo.errors import WeightsError
from zoo.graph import Tensor
from zoo.layers.activations import WITH_INPUT, activate
from zoo.network import Kernel, Network
from zoo.weights import Floats

BATCH_NORM_EPSILON = 1e-5
"""Added to the variance under the root, as AlexeyAB's fork does and the GPU code of the original, which trained the
published weights. The original's CPU code adds 1e-6 to the root instead: confidences of yolov3-tiny differ by 0.0001.
"""

NO_SHARE = -1_000_000_000
"""Darknet's default of `share_index`."""

_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16
_BLUR_SMALL = np.full((2, 2), 1 / 4)

# Options that change what is computed and are not converted: why.
_REFUSED = {
    "xnor": "binary weights and inputs are not supported",
    "binary": "binary weights are not supported",
    "dontload": "a layer without trained weights says nothing",
    "dontloadscales": "a batch norm without trained weights says nothing",
    "numload": "a part of the filters cannot be loaded",
    "coordconv": "darknet computes it on GPUs alone",
}


def refuse(section: Section, options: dict[str, str]) -> None:
    """Raise CfgError where one of the options stands in the section with another value than 0; the text says why."""
    for key, reason in options.items():
        if section.real(key, 0):
            raise section.error(f"{key}={section.options[key]} is not supported: {reason}")


def strides(section: Section) -> tuple[int, int]:
    """Vertical and horizontal step: `stride_y` and `stride_x`, else `stride`, else 1."""
    stride = section.number("stride", 1, low=1, high=1024)
    across = section.number("stride_x", stride, low=-1, high=1024)
    down = section.number("stride_y", stride, low=-1, high=1024)
    return (down if down > 0 else stride), (across if across > 0 else stride)


def convolutional(net: Network, section: Section) -> Tensor:
    """Convolution, batch norm folded into its weights, activation. `pad=1` pads by size // 2, else `padding` counts.

    `dilation` spreads the kernel and multiplies the padding; `antialiasing` convolves with stride 1, then blurs with
    the stride (AlexeyAB). `share_index` takes the weights of an earlier layer; the file holds none for this one.

    Raises:
        CfgError: the sizes do not fit each other, or an option is not supported.
    """
    refuse(section, _REFUSED)
    source = net.current
    filters = section.number("filters", 1, low=1)
    size = section.number("size", 1, low=1, high=1024)
    groups = max(1, section.number("groups", 1))
    dilation = section.number("dilation", 1, low=1, high=1024)
    dilation = dilation if size > 1 else 1
    padding = section.number("padding", 0, high=1024)
    padding = size // 2 if section.number("pad", 0) else padding
    blurred, steps = section.number("antialiasing", 0), strides(section)
    down, across = (1, 1) if blurred else steps
    if source.channels % groups or filters % groups:
        raise section.error(f"groups={groups} does not divide {source.channels} channels into {filters} filters")
    lengths = [length + 2 * padding - size for length in (source.height, source.width)]
    if min(lengths) < 0:
        raise section.error(f"leaves nothing of its input of {source.width} x {source.height}")
    if 2 * padding * (dilation - 1) != (size - 1) * (dilation - 1):
        raise section.error(f"dilation={dilation} needs padding={(size - 1) / 2:g}: darknet itself gives other sizes")
    shared = _kernel(net, section, (filters, source.channels, groups, size))
    name = net.graph.add(
        "Conv",
        _doubled(net, shared),
        shared.kernel,
        shared.bias,
        kernel_shape=[size, size],
        strides=[down, across],
        pads=[padding * dilation] * 4,
        dilations=[dilation, dilation],
        group=groups,
    )
    name = activate(net, section, name, "logistic", apart=WITH_INPUT)
    output = Tensor(name, filters, lengths[0] // down + 1, lengths[1] // across + 1)
    return blur(net, section, output, blurred, steps) if blurred else output


def blur(net: Network, section: Section, source: Tensor, kind: int, steps: tuple[int, int]) -> Tensor:
    """AlexeyAB's antialiasing: each channel through a fixed kernel, of 3 x 3 with padding; for 2, of 2 x 2 without."""
    kernel, padding = (_BLUR_SMALL, 0) if kind == 2 else (_BLUR, 1)
    size = len(kernel)
    lengths = [length + 2 * padding - size for length in (source.height, source.width)]
    if min(lengths) < 0:
        raise section.error(f"leaves nothing of its input of {source.width} x {source.height}")
    name = net.graph.add(
        "Conv",
        source.name,
        net.graph.reals(np.broadcast_to(kernel, (source.channels, 1, size, size))),
        kernel_shape=[size, size],
        strides=list(steps),
        pads=[padding] * 4,
        group=source.channels,
    )
    height, width = (length // step + 1 for length, step in zip(lengths, steps, strict=True))
    same = (height, width) == (source.height, source.width)
    refused = "" if same else "whose antialiased output darknet itself gives to the next layer alone"
    return Tensor(name, source.channels, height, width, refused)


def connected(net: Network, section: Section) -> Tensor:
    """Fully connected: a convolution as large as its input. The kernel stands before the batch norm in the file."""
    refuse(section, {key: reason for key, reason in _REFUSED.items() if key.startswith("dontload")})
    source, outputs = net.current, section.number("output", 1, low=1)
    bias = net.weights.take(outputs)
    inputs = source.channels * source.height * source.width
    kernel = net.weights.take(inputs, outputs).T if net.weights.transposed else net.weights.take(outputs, inputs)
    kernel = kernel.reshape(outputs, *source.shape)
    if section.number("batch_normalize", 0):
        kernel, bias = _fold(kernel, bias, net.weights.take(3, outputs))
    window = [source.height, source.width]
    constants = net.graph.constant(kernel), net.graph.constant(bias)
    name = net.graph.add("Conv", source.name, *constants, kernel_shape=window)
    return Tensor(activate(net, section, name, "logistic"), outputs, 1, 1)


def batchnorm(net: Network, section: Section) -> Tensor:
    """Batch norm on its own. The file holds biases, scales, means, variances (AlexeyAB; the original leaves the biases
    out, so that its files are too short here)."""
    refuse(section, {"dontload": _REFUSED["dontload"]})
    source = net.current
    bias = net.weights.take(source.channels)
    ones = np.ones((source.channels, 1, 1, 1), np.float32)
    factor, bias = _fold(ones, bias, net.weights.take(3, source.channels))
    name = net.graph.add("Mul", source.name, net.graph.constant(factor[..., 0]))
    name = net.graph.add("Add", name, net.graph.constant(bias[:, None, None]))
    return Tensor(name, *source.shape)


def _kernel(net: Network, section: Section, shape: tuple[int, int, int, int]) -> Kernel:
    """The weights of this layer in the graph: read from the file, or those of the layer `share_index`."""
    share = section.number("share_index", NO_SHARE, low=NO_SHARE)
    normalised = section.number("batch_normalize", 0) | section.number("cbn", 0)
    flipped = section.number("flipped", 0)
    if share != NO_SHARE:
        found = net.kernels.get(net.place(share, section))
        if found is None or found.shape != shape:
            raise section.error(f"share_index={share} is no convolution of the same shape")
    else:
        filters, channels, groups, size = shape
        per_filter = channels // groups * size * size
        bias = net.weights.take(filters)
        norm = net.weights.take(3, filters) if normalised else None
        kernel = net.weights.take(per_filter, filters).T if flipped else net.weights.take(filters, per_filter)
        kernel = kernel.reshape(filters, channels // groups, size, size)
        if norm is not None:
            kernel, bias = _fold(kernel, bias, norm)
        pixels = net.current.name == net.frame
        kernel = _in_two(kernel.astype(np.float64) / 255) if pixels else kernel
        found = Kernel(net.graph.constant(kernel), net.graph.constant(bias), shape, pixels)
    net.kernels[len(net.outputs)] = found
    return found


def _doubled(net: Network, shared: Kernel) -> str:
    """The layer's input as the kernel takes it."""
    value = net.current.name
    if not shared.pixels:
        return value
    if value != net.frame:  # shares the weights of the first layer
        value = net.graph.add("Mul", value, net.graph.reals(255))
    return net.graph.add("Concat", value, value, axis=1)


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

    Raises:
        WeightsError: a variance is negative, as happens where other values are read as variances.
    """
    scale, mean, variance = norm.astype(np.float64)
    if not (variance >= 0).all():
        raise WeightsError("A variance in the weights is negative or no number: they belong to another cfg.")
    factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
    folded = kernel * factor[:, None, None, None]
    return folded.astype(np.float32), (bias - mean * factor).astype(np.float32)

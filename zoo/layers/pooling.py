"""[maxpool], [local_avgpool] and [avgpool]. Windows and paddings are those of darknet's `maxpool_layer.c`."""

from __future__ import annotations

import numpy as np

from zoo.cfg import Section
from zoo.graph import Tensor
from zoo.layers.convolutional import blur, refuse, strides
from zoo.network import Network

_LOWEST = float(np.finfo(np.float32).min)


def maxpool(net: Network, section: Section) -> Tensor:
    """Max pooling over windows; with `maxpool_depth` over channels; with `antialiasing` of stride 1, then blurred.

    Raises:
        CfgError: the window does not fit the input, or an option is not supported.
    """
    refuse(section, {"maxpool_zero_nonmax": "it changes what other layers read"})
    blurred, steps = section.number("antialiasing", 0), strides(section)
    if section.number("maxpool_depth", 0):
        if blurred:
            raise section.error("maxpool_depth and antialiasing exclude each other")
        section.number("size", 1)
        section.number("padding", 0)
        return _over_channels(net, section)
    section.number("out_channels", 1)
    output = _windows(net, section, "MaxPool", (1, 1) if blurred else steps)
    return blur(net, section, output, blurred, steps) if blurred else output


def local_avgpool(net: Network, section: Section) -> Tensor:
    """Mean over windows; what lies outside of the input does not count (AlexeyAB)."""
    return _windows(net, section, "AveragePool", strides(section))


def avgpool(net: Network, section: Section) -> Tensor:
    """Mean of each channel: (N, C, H, W) -> (N, C, 1, 1)."""
    return Tensor(net.graph.add("GlobalAveragePool", net.current.name), net.current.channels, 1, 1)


def _windows(net: Network, section: Section, op: str, steps: tuple[int, int]) -> Tensor:
    """`padding` (default size - 1) is the sum of both sides; the smaller half lies left and top.

    So a size of 2 pads right and bottom only, and with stride 1 keeps the size.
    """
    source = net.current
    stride = section.number("stride", 1, low=1, high=1024)
    size = section.number("size", stride, low=1, high=1024)
    padding = section.number("padding", size - 1, high=1024)
    before = padding // 2
    out: list[int] = []
    after: list[int] = []
    for length, step in zip((source.height, source.width), steps, strict=True):
        count = (length + padding - size) // step + 1
        if length + padding < size:
            raise section.error(f"leaves nothing of its input of {source.width} x {source.height}")
        out.append(count)
        after.append(max(0, (count - 1) * step + size - length - before))
    if max(before, *after) >= size:
        raise section.error(f"padding={padding} is too large for size={size}")
    name = net.graph.add(op, source.name, kernel_shape=[size, size], strides=list(steps), pads=[before, before, *after])
    return Tensor(name, source.channels, out[0], out[1])


def _over_channels(net: Network, section: Section) -> Tensor:
    """Of channels k, k + out_channels, k + 2 * out_channels, ... the largest value becomes channel k; same size."""
    source = net.current
    channels = section.number("out_channels", 1, low=1)
    if channels > source.channels:
        raise section.error(f"out_channels={channels} is more than the {source.channels} channels before")
    name, missing = source.name, -source.channels % channels
    if missing:
        name = net.graph.add("Pad", name, net.graph.integers(0, 0, 0, 0, 0, missing, 0, 0), net.graph.reals(_LOWEST))
    parts = (source.channels + missing) // channels
    shape = net.graph.integers(0, parts, channels, source.height, source.width)
    name = net.graph.add("ReduceMax", net.graph.add("Reshape", name, shape), axes=[1], keepdims=0)
    return Tensor(name, channels, source.height, source.width)

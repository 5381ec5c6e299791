"""[route], [shortcut], [sam], [scale_channels]: layers that read several others; [implicit]: one that reads none."""

from __future__ import annotations

import numpy as np

from zoo.cfg import Section
from zoo.graph import Tensor
from zoo.layers.activations import activate
from zoo.network import Network
from zoo.weights import Floats

WEIGHT_TYPES = {"none": 0, "per_feature": 1, "per_layer": 1, "per_channel": 2}
"""Weights of a shortcut: none, one for each layer, one for each layer and channel."""


def route(net: Network, section: Section) -> Tensor:
    """Outputs of other layers, one behind the other along the channels; with `groups`, part `group_id` of each."""
    indices = section.numbers("layers")
    groups = max(1, section.number("groups", 1))
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
        parts.append(source.name if groups == 1 else _cut(net, source.name, [1], [group * share], [share]))
    name = parts[0] if len(parts) == 1 else net.graph.add("Concat", *parts, axis=1)
    channels = sum(source.channels for source in sources) // groups
    return Tensor(name, channels, sources[0].height, sources[0].width)


def shortcut(net: Network, section: Section) -> Tensor:
    """The sum of the layer before and the layers `from`, then the activation; the shape is that of the layer before.

    Of a layer with more channels only the first count, one with fewer is added to the first. AlexeyAB's fork knows
    several layers and their weights; the original one layer, `alpha`, `beta` and layers of another size
    (`shortcut_cpu`).

    Raises:
        CfgError: the layers do not fit each other or the weights are said otherwise than darknet says them.
    """
    source = net.current
    others = [net.layer(index, section) for index in section.numbers("from")]
    if not others:
        raise section.error("names no layers in `from`")
    factors = _factors(net, section, len(others))
    alpha, beta = section.real("alpha", 1), section.real("beta", 1)
    resized = any((other.height, other.width) != (source.height, source.width) for other in others)
    if factors is None and len(others) == 1:
        name = _scaled_sum(net, section, others[0], alpha, beta)
    elif resized:
        raise section.error("joins layers of different sizes, which darknet does for one layer without weights only")
    elif (alpha, beta) != (1, 1):
        raise section.error("takes alpha and beta for one layer without weights only")
    else:
        graph = net.graph
        parts = [source.name, *(_fitted(net, other, source) for other in others)]
        if factors is not None:
            parts = [graph.add("Mul", part, graph.constant(one)) for part, one in zip(parts, factors, strict=True)]
        name = graph.add("Sum", *parts)
    return Tensor(activate(net, section, name, "linear", apart=("swish", "mish")), *source.shape)


def sam(net: Network, section: Section) -> Tensor:
    """The layer before times the layer `from`, value by value, then the activation (AlexeyAB)."""
    source, other = net.current, net.layer(_one_layer(section), section)
    if other.shape != source.shape:
        raise section.error(f"multiplies layers of different shapes, {source.shape} and {other.shape}")
    name = net.graph.add("Mul", source.name, other.name)
    return Tensor(activate(net, section, name, "linear"), *source.shape)


def scale_channels(net: Network, section: Section) -> Tensor:
    """The layer `from` times the layer before, which has one value for each channel; with `scale_wh` one for each place
    (AlexeyAB)."""
    source, other = net.current, net.layer(_one_layer(section), section)
    needed = (1, other.height, other.width) if section.number("scale_wh", 0) else (other.channels, 1, 1)
    if source.shape != needed:
        raise section.error(f"needs an input of shape {needed}, not {source.shape}")
    name = net.graph.add("Mul", other.name, source.name)
    return Tensor(activate(net, section, name, "linear"), *other.shape)


def implicit(net: Network, section: Section) -> Tensor:
    """Learned values that do not depend on the frame: (N, filters, atoms, 1), the same for each frame (AlexeyAB)."""
    filters, atoms = section.number("filters", 128, low=1), section.number("atoms", 1, low=1)
    for initial in ("mean", "std"):
        section.real(initial, 0)
    graph = net.graph
    values = graph.constant(net.weights.take(1, filters, atoms, 1))
    frames = _cut(net, graph.add("Shape", net.current.name), [0], [0], [1])
    shape = graph.add("Concat", frames, graph.integers(1, 1, 1), axis=0)
    return Tensor(graph.add("Expand", values, shape), filters, atoms, 1)


def _one_layer(section: Section) -> int:
    indices = section.numbers("from")
    if len(indices) != 1:
        raise section.error("takes exactly one layer in `from`")
    return indices[0]


def _cut(net: Network, value: str, axes: list[int], starts: list[int], lengths: list[int], steps: int = 1) -> str:
    """A Slice: `lengths` values from `starts` on along each of `axes`, each `steps`-th."""
    ends = [start + (length - 1) * steps + 1 for start, length in zip(starts, lengths, strict=True)]
    bounds = (starts, ends, axes, [steps] * len(axes))
    return net.graph.add("Slice", value, *(net.graph.integers(*bound) for bound in bounds))


def _fitted(net: Network, other: Tensor, source: Tensor) -> str:
    """`other` with the channels of `source`: cut off or filled up with zeros."""
    if other.channels > source.channels:
        return _cut(net, other.name, [1], [0], [source.channels])
    missing = source.channels - other.channels
    if missing:
        return net.graph.add("Pad", other.name, net.graph.integers(0, 0, 0, 0, 0, missing, 0, 0))
    return other.name


def _scaled_sum(net: Network, section: Section, other: Tensor, alpha: float, beta: float) -> str:
    """alpha * before + beta * `other`.

    Where `other` has another size every k-th of its values is taken, or added to every k-th place; places that it does
    not reach stay as they are, without alpha.
    """
    source, graph = net.current, net.graph
    down, up = other.width // source.width, source.width // other.width
    if (down, up) != (other.height // source.height, source.height // other.height):
        raise section.error("joins layers whose heights and widths differ by different factors")
    down, up = max(1, down), max(1, up)
    reach = [min(pair) for pair in zip(source.shape, other.shape, strict=True)]
    name, before = other.name, source.name
    if down > 1 or list(other.shape) != reach:
        name = _cut(net, name, [1], [0], [reach[0]])
        name = _cut(net, name, [2, 3], [0, 0], reach[1:], steps=down)
    if beta != 1:
        name = graph.add("Mul", name, graph.reals(beta))
    if up > 1:
        name = _spread(net, name, reach, up)
        reach[1:] = [length * up for length in reach[1:]]
    missing = [have - got for have, got in zip(source.shape, reach, strict=True)]
    if any(missing):
        name = graph.add("Pad", name, graph.integers(0, 0, 0, 0, 0, *missing))
    if alpha != 1:
        before = graph.add("Mul", before, graph.reals(_touched(source.shape, reach, up, alpha)))
    return graph.add("Add", before, name)


def _spread(net: Network, value: str, shape: list[int], up: int) -> str:
    """(N, C, H, W) -> (N, C, H * up, W * up), zeros between."""
    channels, height, width = shape
    graph = net.graph
    value = graph.add("Reshape", value, graph.integers(0, channels, height, 1, width, 1))
    value = graph.add("Pad", value, graph.integers(*[0] * 6, 0, 0, 0, up - 1, 0, up - 1))
    return graph.add("Reshape", value, graph.integers(0, channels, height * up, width * up))


def _touched(shape: tuple[int, int, int], reach: list[int], up: int, alpha: float) -> Floats:
    """`alpha` where a shortcut adds something, 1 elsewhere: float32 (C, H, W)."""
    factors = np.ones(shape, np.float32)
    factors[: reach[0], : reach[1] : up, : reach[2] : up] = alpha
    return factors


def _factors(net: Network, section: Section, others: int) -> list[Floats] | None:
    """The weights of a shortcut, normalised as darknet's `fuse_conv_batchnorm` does it before inference: for the layer
    before and each other one float32 (1, 1, 1) or (C, 1, 1); None without weights."""
    said = section.word("weights_type", "none")
    kind = WEIGHT_TYPES.get(said)
    if kind is None:
        raise section.error(f"weights_type={said} is not one of {', '.join(WEIGHT_TYPES)}")
    how = section.word("weights_normalization", "none")
    if kind == 0:
        return None
    count = net.current.channels if kind == 2 else 1
    weights = net.weights.take(others + 1, count, 1, 1).astype(np.float64)
    if how in ("relu", "avg_relu"):
        weights = np.maximum(weights, 0.001)
    elif how == "softmax":
        weights = np.exp(weights - weights.max(axis=0))
    elif how != "none":
        raise section.error(f"weights_normalization={how} is not one of none, relu, avg_relu, softmax")
    if how != "none":
        weights = weights / (0.0001 + weights.sum(axis=0))
    return list(weights.astype(np.float32))

"""[upsample], [reorg], [reorg3d], and layers that hand their input on: values move, none is computed."""

from __future__ import annotations

from zoo.cfg import Section
from zoo.graph import Tensor
from zoo.layers.activations import activate
from zoo.network import Network


def upsample(net: Network, section: Section) -> Tensor:
    """Each value becomes a square of `stride` x `stride`, times `scale`; with a negative stride each square its sum."""
    source, graph = net.current, net.graph
    stride = section.number("stride", 2, low=-64, high=64)
    scale = section.real("scale", 1.0)
    if stride < 0:
        return _sums(net, section, -stride, scale)
    if stride == 0:
        raise section.error("stride=0 leaves nothing")
    name = graph.add(
        "Resize",
        source.name,
        "",
        graph.reals([1, 1, stride, stride]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    if scale != 1:
        name = graph.add("Mul", name, graph.reals(scale))
    return Tensor(name, source.channels, source.height * stride, source.width * stride)


def _sums(net: Network, section: Section, step: int, scale: float) -> Tensor:
    source = net.current
    _whole(section, source, step)
    name = net.graph.add("AveragePool", source.name, kernel_shape=[step, step], strides=[step, step])
    name = net.graph.add("Mul", name, net.graph.reals(scale * step * step))
    return Tensor(name, source.channels, source.height // step, source.width // step)


def reorg(net: Network, section: Section) -> Tensor:
    """Darknet's [reorg], the same in both forks (AlexeyAB's `reorg_old_layer.c`): the passthrough of YOLOv2.

    `reorg_cpu` there takes the sizes of the input for those of the output: the values of (C, H, W) are read as if they
    were (C / s^2, H * s, W * s), moved from space to depth, and read again as (C * s^2, H / s, W / s). `reverse` is
    depth to space as one expects it. `flatten` puts the channels of a place side by side (original only).

    Raises:
        CfgError: `stride` does not divide the sizes, or `extra`, after which there is no picture.
    """
    source, graph = net.current, net.graph
    stride = section.number("stride", 1, low=1, high=64)
    reverse, flat = section.number("reverse", 0), section.number("flatten", 0)
    if section.number("extra", 0):
        raise section.error("extra= is not supported: what it gives is no picture")
    area = stride * stride
    if not flat or reverse:
        _channels(section, source, area)
    if not reverse:
        _whole(section, source, stride)
    channels, height, width = source.shape
    large = Tensor(source.name, channels // area, height * stride, width * stride)
    small = Tensor(source.name, channels * area, height // stride, width // stride)
    if flat:
        order = (channels, height * width) if not reverse else (height * width, channels)
        name = graph.add("Reshape", source.name, graph.integers(0, *order))
        return _viewed(net, graph.add("Transpose", name, perm=[0, 2, 1]), large if reverse else small)
    if reverse:
        name = graph.add("DepthToSpace", source.name, blocksize=stride, mode="DCR")
        return Tensor(name, *large.shape)
    name = _viewed(net, source.name, large).name
    return _viewed(net, graph.add("SpaceToDepth", name, blocksize=stride), small)


def reorg3d(net: Network, section: Section) -> Tensor:
    """AlexeyAB's [reorg3d] (`reorg_layer.c`): space to depth, (C, H, W) -> (C * s^2, H / s, W / s).

    `reverse` reads the values as (C / s^2, H * s, W * s), moves them from depth to space and reads them as that again.
    """
    source, graph = net.current, net.graph
    stride = section.number("stride", 1, low=1, high=64)
    channels, height, width = source.shape
    if not section.number("reverse", 0):
        _whole(section, source, stride)
        name = graph.add("SpaceToDepth", source.name, blocksize=stride)
        return Tensor(name, channels * stride * stride, height // stride, width // stride)
    _channels(section, source, stride**4)
    large = Tensor(source.name, channels // stride**2, height * stride, width * stride)
    name = _viewed(net, source.name, large).name
    return _viewed(net, graph.add("DepthToSpace", name, blocksize=stride, mode="DCR"), large)


def activation(net: Network, section: Section) -> Tensor:
    """An activation on its own."""
    return Tensor(activate(net, section, net.current.name, "linear"), *net.current.shape)


def passed_on(net: Network, section: Section) -> Tensor:
    """[dropout] and [empty]: what the layer before gave. Darknet drops, and scales up the rest, in training only."""
    return Tensor(net.current.name, *net.current.shape)


def compared(net: Network, section: Section) -> Tensor:
    """[cost] and [contrastive]: they compare with the truth in training, and give nothing otherwise."""
    return Tensor(net.current.name, *net.current.shape, refused="which gives something in training alone")


def _viewed(net: Network, value: str, as_: Tensor) -> Tensor:
    """The same values in the same order, in another shape."""
    return Tensor(net.graph.add("Reshape", value, net.graph.integers(0, *as_.shape)), *as_.shape)


def _whole(section: Section, source: Tensor, stride: int) -> None:
    if source.height % stride or source.width % stride:
        raise section.error(f"stride={stride} does not divide its input of {source.width} x {source.height}")


def _channels(section: Section, source: Tensor, area: int) -> None:
    if source.channels % area:
        raise section.error(f"needs a multiple of {area} channels, the layer before has {source.channels}")

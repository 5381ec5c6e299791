"""The sizes of darknet's layers, written from its C independently of the converter: (channels, height, width)."""

from __future__ import annotations

Shape = tuple[int, int, int]
Options = dict[str, str]


def layer_shape(kind: str, options: Options, before: Shape, shapes: list[Shape]) -> Shape:
    """Shape of a layer's output; `before` is that of its input, `shapes` those of all layers before it."""
    channels, height, width = before
    down, across = steps(options)
    if kind == "convolutional":
        size, dilation = int(options.get("size", 1)), int(options.get("dilation", 1))
        pad = size // 2 if options.get("pad") == "1" else int(options.get("padding", 0))
        spread = (size - 1) * dilation + 1
        lengths = [length + 2 * pad * (dilation if size > 1 else 1) - spread for length in (height, width)]
        return blurred(options, int(options.get("filters", 1)), lengths, (down, across))
    if kind in ("maxpool", "local_avgpool") and options.get("maxpool_depth") != "1":
        size = int(options.get("size", options.get("stride", 1)))
        lengths = [length + int(options.get("padding", size - 1)) - size for length in (height, width)]
        return blurred(options, channels, lengths, (down, across))
    if kind == "upsample":
        stride = int(options.get("stride", 2))
        return (
            (channels, height * stride, width * stride)
            if stride > 0
            else (channels, height // -stride, width // -stride)
        )
    if kind in ("reorg", "reorg3d"):
        stride = int(options.get("stride", 1))
        if options.get("reverse") == "1":
            return channels // stride**2, height * stride, width * stride
        return channels * stride**2, height // stride, width // stride
    if kind == "route":
        sources = [shapes[int(at)] for at in options["layers"].split(",")]
        groups = int(options.get("groups", 1))
        return sum(source[0] for source in sources) // groups, sources[0][1], sources[0][2]
    if kind == "scale_channels":
        return shapes[int(options["from"])]
    return {
        "maxpool": (int(options.get("out_channels", 1)), height, width),  # maxpool_depth
        "avgpool": (channels, 1, 1),
        "connected": (int(options.get("output", 1)), 1, 1),
        "implicit": (int(options.get("filters", 128)), int(options.get("atoms", 1)), 1),
    }.get(kind, before)


def steps(options: Options) -> tuple[int, int]:
    """Vertical and horizontal stride."""
    stride = int(options.get("stride", 1))
    return int(options.get("stride_y", stride)), int(options.get("stride_x", stride))


def blurred(options: Options, channels: int, lengths: list[int], strides: tuple[int, int]) -> Shape:
    """The strides act in the blur, where there is one: 3 x 3 with padding, for 2 2 x 2 without."""
    kind = int(options.get("antialiasing", 0))
    if kind:
        lengths = [length + 1 + (0 if kind == 2 else 2) - (2 if kind == 2 else 3) for length in lengths]
    height, width = (length // step + 1 for length, step in zip(lengths, strides, strict=True))
    return channels, height, width

"""Cfg text piece by piece: a section, a convolution, a head, a pool of several sizes, a whole file."""

from __future__ import annotations

from collections.abc import Iterable

COCO, VOC, OPEN_IMAGES = 80, 20, 601
"""Counts of classes."""


def section(kind: str, **options: object) -> str:
    """`[kind]` and its options; an underscore at the end of a key is dropped (`from_`)."""
    return "\n".join([f"[{kind}]", *(f"{key.rstrip('_')}={value}" for key, value in options.items()), ""])


def conv(filters: int, size: int, stride: int = 1, activation: str = "leaky") -> str:
    """Convolution with batch norm that keeps the size, or halves it with `stride` 2."""
    return section(
        "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation=activation
    )


def linear(filters: int, activation: str = "linear") -> str:
    """The 1 x 1 convolution before a head."""
    return section("convolutional", filters=filters, size=1, stride=1, pad=1, activation=activation)


def pool(size: int, stride: int) -> str:
    """Max pooling."""
    return section("maxpool", size=size, stride=stride)


def route(*layers: int) -> str:
    """Layers one behind the other; negative ones count back from here."""
    return section("route", layers=",".join(map(str, layers)))


def residual() -> str:
    """Adds the layer that stands three before."""
    return section("shortcut", from_=-3, activation="linear")


def yolo(mask: str, anchors: str, classes: int, activation: str = "linear", **options: object) -> list[str]:
    """A `[yolo]` head and the convolution before it."""
    count = mask.count(",") + 1
    pairs = anchors.count(",") // 2 + 1
    return [
        linear(count * (5 + classes), activation),
        section("yolo", mask=mask, anchors=anchors, classes=classes, num=pairs, **options),
    ]


def region(anchors: str, classes: int, **options: object) -> list[str]:
    """A `[region]` head with softmax and the convolution before it."""
    pairs = anchors.count(",") // 2 + 1
    head = section("region", anchors=anchors, classes=classes, coords=4, num=pairs, softmax=1, **options)
    return [linear(pairs * (5 + classes)), head]


def pyramid_pooling() -> list[str]:
    """Pools of 5, 9 and 13 of the layer before, in front of that layer itself."""
    pools = [pool(5, 1), route(-2), pool(9, 1), route(-4), pool(13, 1)]
    return [*pools, route(-1, -3, -5, -6)]


def text(size: int, layers: Iterable[str], **options: object) -> str:
    """The whole cfg, for RGB frames of `size` x `size`."""
    return "\n".join([section("net", width=size, height=size, channels=3, **options), *layers])

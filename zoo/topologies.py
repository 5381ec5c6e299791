"""The networks that the catalog knows, as cfg text written from their published structure (Redmon and Farhadi, YOLOv3).

The text holds only what inference needs. A test compares it, layer by layer, with the cfgs of the darknet distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_ANCHORS = "10,13,16,30,33,23,30,61,62,45,59,119,116,90,156,198,373,326"
_ANCHORS_TINY = "10,14,23,27,37,58,81,82,135,169,344,319"
_COCO_CLASSES = 80


def _layer(kind: str, **options: object) -> str:
    return "\n".join([f"[{kind}]", *(f"{key.rstrip('_')}={value}" for key, value in options.items()), ""])


def _conv(filters: int, size: int, stride: int = 1) -> str:
    return _layer(
        "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation="leaky"
    )


def _head(mask: str, anchors: str) -> list[str]:
    filters = 3 * (5 + _COCO_CLASSES)
    return [
        _layer("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear"),
        _layer("yolo", mask=mask, anchors=anchors, num=anchors.count(",") // 2 + 1, classes=_COCO_CLASSES),
    ]


def _text(size: int, layers: Iterable[str]) -> str:
    return "\n".join([_layer("net", width=size, height=size, channels=3), *layers])


def yolov3_tiny() -> str:
    """YOLOv3-tiny: 24 layers, two heads, frame 416 x 416."""
    layers: list[str] = []
    for filters, stride in ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1)):
        layers += [_conv(filters, 3), _layer("maxpool", size=2, stride=stride)]
    layers += [_conv(1024, 3), _conv(256, 1), _conv(512, 3), *_head("3,4,5", _ANCHORS_TINY)]
    layers += [_layer("route", layers="-4"), _conv(128, 1), _layer("upsample", stride=2)]
    layers += [_layer("route", layers="-1,8"), _conv(256, 3), *_head("0,1,2", _ANCHORS_TINY)]
    return _text(416, layers)


def _darknet53() -> list[str]:
    """The backbone: 75 layers; the last residuals of 256 and 512 channels are layers 36 and 61."""
    layers = [_conv(32, 3)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        layers.append(_conv(filters, 3, stride=2))
        for _ in range(repeats):
            layers += [_conv(filters // 2, 1), _conv(filters, 3), _layer("shortcut", from_=-3, activation="linear")]
    return layers


def _pyramid(pooling: Iterable[str] = ()) -> list[str]:
    """The three heads; `pooling` stands after the third layer of the first."""
    layers = [_conv(512, 1), _conv(1024, 3), _conv(512, 1), *pooling]
    layers += [_conv(1024, 3), _conv(512, 1), _conv(1024, 3), *_head("6,7,8", _ANCHORS)]
    for filters, residual, mask in ((256, 61, "3,4,5"), (128, 36, "0,1,2")):
        layers += [_layer("route", layers="-4"), _conv(filters, 1), _layer("upsample", stride=2)]
        layers.append(_layer("route", layers=f"-1,{residual}"))
        layers += [_conv(filters, 1), _conv(2 * filters, 3)] * 3
        layers += _head(mask, _ANCHORS)
    return layers


def yolov3() -> str:
    """YOLOv3: 107 layers, three heads, frame 416 x 416."""
    return _text(416, [*_darknet53(), *_pyramid()])


def yolov3_spp() -> str:
    """YOLOv3 with spatial pyramid pooling before the first head: 114 layers, frame 608 x 608."""
    pooling: list[str] = []
    for size, back in ((5, "-2"), (9, "-4"), (13, "-1,-3,-5,-6")):
        pooling += [_layer("maxpool", size=size, stride=1), _layer("route", layers=back)]
    return _text(608, [*_darknet53(), *_pyramid([*pooling, _conv(512, 1)])])


TOPOLOGIES: dict[str, Callable[[], str]] = {
    "yolov3-tiny": yolov3_tiny,
    "yolov3": yolov3,
    "yolov3-spp": yolov3_spp,
}

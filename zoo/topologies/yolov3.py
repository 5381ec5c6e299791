"""YOLOv3 (Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement") as cfg text."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.topologies.blocks import COCO, conv, pool, pyramid_pooling, residual, route, section, text, yolo

_ANCHORS = "10,13,16,30,33,23,30,61,62,45,59,119,116,90,156,198,373,326"
_ANCHORS_TINY = "10,14,23,27,37,58,81,82,135,169,344,319"


def yolov3_tiny() -> str:
    """YOLOv3-tiny: 24 layers, two heads, frame 416 x 416."""
    layers: list[str] = []
    for filters, stride in ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1)):
        layers += [conv(filters, 3), pool(2, stride)]
    layers += [conv(1024, 3), conv(256, 1), conv(512, 3), *yolo("3,4,5", _ANCHORS_TINY, COCO)]
    layers += [route(-4), conv(128, 1), section("upsample", stride=2), route(-1, 8), conv(256, 3)]
    return text(416, [*layers, *yolo("0,1,2", _ANCHORS_TINY, COCO)])


def _darknet53() -> list[str]:
    """The backbone: 75 layers; the last residuals of 256 and 512 channels are layers 36 and 61."""
    layers = [conv(32, 3)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        layers.append(conv(filters, 3, stride=2))
        layers += [conv(filters // 2, 1), conv(filters, 3), residual()] * repeats
    return layers


def _heads(classes: int, pooling: Iterable[str] = ()) -> list[str]:
    """The three heads; `pooling` stands after the third layer of the first."""
    layers = [conv(512, 1), conv(1024, 3), conv(512, 1), *pooling]
    layers += [conv(1024, 3), conv(512, 1), conv(1024, 3), *yolo("6,7,8", _ANCHORS, classes)]
    for filters, earlier, mask in ((256, 61, "3,4,5"), (128, 36, "0,1,2")):
        layers += [route(-4), conv(filters, 1), section("upsample", stride=2), route(-1, earlier)]
        layers += [conv(filters, 1), conv(2 * filters, 3)] * 3
        layers += yolo(mask, _ANCHORS, classes)
    return layers


def yolov3(classes: int = COCO, size: int = 416) -> str:
    """YOLOv3: 107 layers, three heads, frame 416 x 416; that for Open Images has 601 classes and 608 x 608."""
    return text(size, [*_darknet53(), *_heads(classes)])


def yolov3_spp() -> str:
    """YOLOv3 with spatial pyramid pooling before the first head: 114 layers, frame 608 x 608."""
    return text(608, [*_darknet53(), *_heads(COCO, [*pyramid_pooling(), conv(512, 1)])])

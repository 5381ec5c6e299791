"""YOLOv2 and YOLO9000 (Redmon and Farhadi 2016, "YOLO9000: Better, Faster, Stronger") as cfg text."""

from __future__ import annotations

from zoo.topologies.blocks import COCO, VOC, conv, pool, region, route, section, text

_ANCHORS_COCO = "0.57273,0.677385,1.87446,2.06253,3.33843,5.47434,7.88282,3.52778,9.77052,9.16828"
_ANCHORS_VOC = "1.3221,1.73145,3.19275,4.00944,5.05587,8.09892,9.47112,4.84053,11.2364,10.0071"
_ANCHORS_TINY_VOC = "1.08,1.19,3.42,4.41,6.63,11.38,9.42,5.11,16.62,10.52"
_ANCHORS_9000 = "0.77871,1.14074,3.00525,4.31277,9.22725,9.61974"


def _darknet19() -> list[str]:
    """The backbone: 23 layers; the last of 512 channels is layer 16."""
    layers = [conv(32, 3), pool(2, 2), conv(64, 3)]
    for filters, repeats in ((128, 1), (256, 1), (512, 2), (1024, 2)):
        layers += [pool(2, 2), conv(filters, 3)]
        layers += [conv(filters // 2, 1), conv(filters, 3)] * repeats
    return layers


def _yolov2(size: int, anchors: str, classes: int) -> str:
    passthrough = [route(-9), conv(64, 1), section("reorg", stride=2), route(-1, -4)]
    layers = [*_darknet19(), conv(1024, 3), conv(1024, 3), *passthrough, conv(1024, 3)]
    return text(size, [*layers, *region(anchors, classes)])


def yolov2() -> str:
    """YOLOv2 for COCO: 32 layers, frame 608 x 608."""
    return _yolov2(608, _ANCHORS_COCO, COCO)


def yolov2_voc() -> str:
    """YOLOv2 for Pascal VOC: 32 layers, frame 416 x 416."""
    return _yolov2(416, _ANCHORS_VOC, VOC)


def _tiny(last: int, anchors: str, classes: int) -> str:
    layers: list[str] = []
    for filters, stride in ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1)):
        layers += [conv(filters, 3), pool(2, stride)]
    return text(416, [*layers, conv(1024, 3), conv(last, 3), *region(anchors, classes)])


def yolov2_tiny() -> str:
    """YOLOv2-tiny for COCO: 16 layers, frame 416 x 416."""
    return _tiny(512, _ANCHORS_COCO, COCO)


def yolov2_tiny_voc() -> str:
    """YOLOv2-tiny for Pascal VOC: 16 layers, frame 416 x 416."""
    return _tiny(1024, _ANCHORS_TINY_VOC, VOC)


def yolo9000() -> str:
    """YOLO9000: 25 layers, 9,418 classes in the WordNet tree of `9k.tree`, frame 544 x 544."""
    return text(544, [*_darknet19(), *region(_ANCHORS_9000, 9418, tree="data/9k.tree")])

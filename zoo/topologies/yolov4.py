"""YOLOv4 (Bochkovskiy, Wang and Liao 2020), YOLOv4-tiny and YOLOv4-CSP (Scaled-YOLOv4, 2020) as cfg text."""

from __future__ import annotations

from functools import partial

from zoo.topologies.blocks import COCO, conv, pool, pyramid_pooling, residual, route, section, text, yolo

_ANCHORS = "12,16,19,36,40,28,36,75,76,55,72,146,142,110,192,243,459,401"
_ANCHORS_TINY = "10,14,23,27,37,58,81,82,135,169,344,319"
_SUPPRESSION = {"nms_kind": "greedynms", "beta_nms": "0.6"}

_mish = partial(conv, activation="mish")


def _stage(filters: int, repeats: int) -> list[str]:
    """A stage of CSPDarknet53: halves the size; its second half runs `repeats` residuals beside the first."""
    half = filters // 2
    layers = [_mish(filters, 3, stride=2), _mish(half, 1), route(-2), _mish(half, 1)]
    layers += [_mish(half, 1), _mish(half, 3), residual()] * repeats
    return [*layers, _mish(half, 1), route(-1, -3 * repeats - 4), _mish(filters, 1)]


def _backbone(first: list[str]) -> list[str]:
    """CSPDarknet53; `first` stands for its first stage."""
    layers = [_mish(32, 3), *first]
    for filters, repeats in ((128, 2), (256, 8), (512, 8), (1024, 4)):
        layers += _stage(filters, repeats)
    return layers


def yolov4() -> str:
    """YOLOv4: 162 layers, three heads from the finest to the coarsest, frame 608 x 608."""
    first = [_mish(64, 3, stride=2), _mish(64, 1), route(-2), _mish(64, 1), _mish(32, 1), _mish(64, 3), residual()]
    layers = _backbone([*first, _mish(64, 1), route(-1, -7), _mish(64, 1)])
    layers += [conv(512, 1), conv(1024, 3), conv(512, 1), *pyramid_pooling(), conv(512, 1), conv(1024, 3), conv(512, 1)]
    for filters, earlier in ((256, 85), (128, 54)):
        layers += [conv(filters, 1), section("upsample", stride=2), route(earlier), conv(filters, 1), route(-1, -3)]
        layers += [conv(filters, 1), conv(2 * filters, 3)] * 2
        layers.append(conv(filters, 1))
    head = partial(yolo, anchors=_ANCHORS, classes=COCO, **_SUPPRESSION)
    layers += [conv(256, 3), *head(mask="0,1,2", scale_x_y="1.2")]
    for filters, back, mask, stretch in ((256, -16, "3,4,5", "1.1"), (512, -37, "6,7,8", "1.05")):
        layers += [route(-4), conv(filters, 3, stride=2), route(-1, back)]
        layers += [conv(filters, 1), conv(2 * filters, 3)] * 3
        layers += head(mask=mask, scale_x_y=stretch)
    return text(608, layers)


def yolov4_tiny() -> str:
    """YOLOv4-tiny: 38 layers, two heads, frame 416 x 416. Anchor 0 belongs to no head, as published."""
    layers = [conv(32, 3, stride=2), conv(64, 3, stride=2)]
    for filters in (64, 128, 256):
        half = filters // 2
        layers += [conv(filters, 3), section("route", layers=-1, groups=2, group_id=1), conv(half, 3), conv(half, 3)]
        layers += [route(-1, -2), conv(filters, 1), route(-6, -1), pool(2, 2)]
    head = partial(yolo, anchors=_ANCHORS_TINY, classes=COCO, scale_x_y="1.05", **_SUPPRESSION)
    layers += [conv(512, 3), conv(256, 1), conv(512, 3), *head(mask="3,4,5")]
    layers += [route(-4), conv(128, 1), section("upsample", stride=2), route(-1, 23), conv(256, 3), *head(mask="1,2,3")]
    return text(416, layers)


def _beside(filters: int) -> list[str]:
    """Four convolutions beside a short way, joined: the block of YOLOv4-CSP's neck."""
    layers = [_mish(filters, 1), route(-2), _mish(filters, 1), _mish(filters, 3), _mish(filters, 1), _mish(filters, 3)]
    return [*layers, route(-1, -6), _mish(filters, 1)]


def yolov4_csp() -> str:
    """YOLOv4-CSP: 175 layers, heads in the new coordinates, letterboxed frame 512 x 512."""
    layers = _backbone([_mish(64, 3, stride=2), _mish(32, 1), _mish(64, 3), residual()])
    layers += [_mish(512, 1), route(-2), _mish(512, 1), _mish(512, 3), _mish(512, 1), *pyramid_pooling()]
    layers += [_mish(512, 1), _mish(512, 3), route(-1, -13), _mish(512, 1)]
    for filters, earlier in ((256, 79), (128, 48)):
        layers += [_mish(filters, 1), section("upsample", stride=2), route(earlier), _mish(filters, 1), route(-1, -3)]
        layers += [_mish(filters, 1), *_beside(filters)]
    head = partial(
        yolo,
        anchors=_ANCHORS,
        classes=COCO,
        activation="logistic",
        scale_x_y="2.0",
        new_coords=1,
        nms_kind="diounms",
        beta_nms="0.6",
    )
    layers += [_mish(256, 3), *head(mask="0,1,2")]
    for filters, back, mask in ((256, -20, "3,4,5"), (512, -49, "6,7,8")):
        layers += [route(-4), _mish(filters, 3, stride=2), route(-1, back), _mish(filters, 1), *_beside(filters)]
        layers += [_mish(2 * filters, 3), *head(mask=mask)]
    return text(512, layers, letter_box=1)

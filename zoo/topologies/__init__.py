"""The networks that the catalog knows, as cfg text written from their published structure.

The text holds only what inference needs. Tests compare it, layer by layer, with the cfgs of the darknet distribution,
and its sizes with those of the published weights. A new network is a function and a line in `TOPOLOGIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from zoo.topologies.yolov2 import yolo9000, yolov2, yolov2_tiny, yolov2_tiny_voc, yolov2_voc
from zoo.topologies.yolov3 import yolov3, yolov3_spp, yolov3_tiny
from zoo.topologies.yolov4 import yolov4, yolov4_csp, yolov4_tiny

TOPOLOGIES: dict[str, Callable[[], str]] = {
    "yolov2": yolov2,
    "yolov2-voc": yolov2_voc,
    "yolov2-tiny": yolov2_tiny,
    "yolov2-tiny-voc": yolov2_tiny_voc,
    "yolo9000": yolo9000,
    "yolov3-tiny": yolov3_tiny,
    "yolov3": yolov3,
    "yolov3-voc": partial(yolov3, classes=20),
    "yolov3-spp": yolov3_spp,
    "yolov3-openimages": partial(yolov3, classes=601, size=608),
    "yolov4": yolov4,
    "yolov4-tiny": yolov4_tiny,
    "yolov4-csp": yolov4_csp,
}

__all__ = ["TOPOLOGIES"]

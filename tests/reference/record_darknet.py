"""What the original darknet finds in the sample pictures -> JSON on stdout. `darknet.json` is made with it:

    python tests/reference/record_darknet.py CFG WEIGHTS > tests/reference/darknet.json

Needs `libdarknet.so` (Debian's package `darknet`). The library decodes nothing here: it is given the pixels that Pillow
decodes, so that two JPEG decoders are not compared. It letterboxes, runs, un-letterboxes and suppresses by itself.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
PICTURES = Path(__file__).parents[1] / "pictures"
THRESHOLD, HIERARCHY, IOU = (
    0.24,
    0.5,
    0.45,
)  # a little under the 0.25 that is compared, so that none is missed at the rim


class _Image(ctypes.Structure):
    _fields_ = [
        ("w", ctypes.c_int),
        ("h", ctypes.c_int),
        ("c", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_float)),
    ]


class _Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in "xywh"]


class _Detection(ctypes.Structure):
    _fields_ = [
        ("bbox", _Box),
        ("classes", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    ]


def _library() -> Any:
    darknet = ctypes.CDLL(str(LIBRARY))
    darknet.load_network.restype = ctypes.c_void_p
    darknet.load_network.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    darknet.network_predict_image.restype = ctypes.POINTER(ctypes.c_float)
    darknet.network_predict_image.argtypes = [ctypes.c_void_p, _Image]
    darknet.get_network_boxes.restype = ctypes.POINTER(_Detection)
    darknet.get_network_boxes.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_float,
        ctypes.c_float,
        ctypes.POINTER(ctypes.c_int),
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_int),
    ]
    darknet.do_nms_sort.argtypes = [ctypes.POINTER(_Detection), ctypes.c_int, ctypes.c_int, ctypes.c_float]
    darknet.free_detections.argtypes = [ctypes.POINTER(_Detection), ctypes.c_int]
    return darknet


def detect(darknet: Any, network: Any, picture: Path) -> list[dict[str, float]]:
    """Detections of one picture, strongest first; `x y` is the box's corner, in pixels, not clipped."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
    darknet.network_predict_image(
        network, _Image(width, height, 3, planes.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
    )
    count = ctypes.c_int(0)
    found = darknet.get_network_boxes(network, width, height, THRESHOLD, HIERARCHY, None, 1, ctypes.byref(count))
    classes = found[0].classes if count.value else 0
    darknet.do_nms_sort(found, count.value, classes, IOU)
    rows = [
        {
            "class_id": k,
            "confidence": round(one.prob[k], 6),
            "x": round((one.bbox.x - one.bbox.w / 2) * width, 3),
            "y": round((one.bbox.y - one.bbox.h / 2) * height, 3),
            "width": round(one.bbox.w * width, 3),
            "height": round(one.bbox.h * height, 3),
        }
        for one in found[: count.value]
        for k in range(classes)
        if one.prob[k] > THRESHOLD
    ]
    darknet.free_detections(found, count.value)
    return sorted(rows, key=lambda row: -row["confidence"])


def main(cfg: Path, weights: Path) -> None:
    """Record every sample picture."""
    answer = os.dup(1)  # darknet prints its layers to stdout and stderr
    os.dup2(2, 1)
    darknet = _library()
    network = darknet.load_network(str(cfg).encode(), str(weights).encode(), 0)
    record = {
        "engine": "Debian darknet 0.0.0+git20180914.61c9d02e, letterbox, fp32, CPU",
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "threshold": THRESHOLD,
        "iou": IOU,
        "pictures": {path.name: detect(darknet, network, path) for path in sorted(PICTURES.glob("*.jpg"))},
    }
    with os.fdopen(answer, "w") as out:
        json.dump(record, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

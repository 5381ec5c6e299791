"""A picture's result -> DeepStack's answer to `/v1/vision/detection`: whole pixels, lower-case labels, the 20 best.

Source: docs of DeepStack and CodeProject.AI. Clients stop at the first label that they do not know or the first low
confidence, so the order counts; Frigate's holds 20 objects and raises at more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.schema import PictureResult

MOST = 20


def deepstack(picture: PictureResult, renamed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """`{"success": true, "predictions": [...], "duration": seconds}`, corners as whole pixels inside the picture.

    Args:
        renamed: labels that its clients know by another name (`coco_ids.SPELLINGS` for the labels of COCO).
    """
    assert picture.image is not None
    best = sorted(picture.detections or (), key=lambda one: -one.confidence)[:MOST]
    names = renamed or {}
    return {
        "success": True,
        "predictions": [
            {
                "confidence": one.confidence,
                "label": names.get(one.label, one.label).lower(),
                "x_min": max(0, round(one.box.x)),
                "y_min": max(0, round(one.box.y)),
                "x_max": min(picture.image.width, round(one.box.x + one.box.width)),
                "y_max": min(picture.image.height, round(one.box.y + one.box.height)),
            }
            for one in best
        ],
        "duration": picture.timings.total_ms / 1000 if picture.timings else 0.0,
    }

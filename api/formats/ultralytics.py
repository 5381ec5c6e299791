"""A picture's result -> the JSON of Ultralytics: corners in pixels.

The boxes are those of `Results.summary()` and `to_json()` in its library; the picture around them is an entry of
`images` in the answer of its hosted predict call.
"""

from __future__ import annotations

from typing import Any

from api.formats.dataset import About
from shared.schema import PictureResult


def ultralytics(picture: PictureResult) -> dict[str, Any]:
    """`{"shape": [height, width], "speed": ms by stage, "results": [{"name", "class", "confidence", "box"}]}`."""
    assert picture.image is not None
    spent = picture.timings
    speed = {
        "preprocess": spent.decode_ms if spent else None,
        "inference": spent.infer_ms if spent else None,
        "postprocess": spent.select_ms if spent else None,
    }
    return {
        "shape": [picture.image.height, picture.image.width],
        "speed": speed,
        "results": [
            {
                "name": one.label,
                "class": one.class_id,
                "confidence": one.confidence,
                "box": {
                    "x1": one.box.x,
                    "y1": one.box.y,
                    "x2": one.box.x + one.box.width,
                    "y2": one.box.y + one.box.height,
                },
            }
            for one in picture.detections or ()
        ],
    }


def response(images: list[dict[str, Any]], about: About) -> dict[str, Any]:
    """The answer around the pictures, be it one or several."""
    return {"images": images, "metadata": {"imageCount": len(images), "job": about.job, "model": about.model}}

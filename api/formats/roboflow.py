"""A picture's result -> the answer of Roboflow's inference server: boxes by their centre, in pixels.

Source: roboflow/inference, `ObjectDetectionInferenceResponse`; read by `supervision.Detections.from_inference`.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from shared.schema import PictureResult


def roboflow(picture: PictureResult, job: str = "") -> dict[str, Any]:
    """`{"inference_id", "time", "image": {"width", "height"}, "predictions": [...]}`; `time` in seconds.

    `x` and `y` are the middle of the box. Ids are made of `job` and places in it, so the same answer has the same ids.
    There is no `tracker_id`: its readers take one that is null for a number.
    """
    assert picture.image is not None
    place = f"spotter:{job}/{picture.index}"
    return {
        "inference_id": str(uuid5(NAMESPACE_URL, place)),
        "time": picture.timings.total_ms / 1000 if picture.timings else 0.0,
        "image": {"width": picture.image.width, "height": picture.image.height},
        "predictions": [
            {
                "x": one.box.x + one.box.width / 2,
                "y": one.box.y + one.box.height / 2,
                "width": one.box.width,
                "height": one.box.height,
                "confidence": one.confidence,
                "class": one.label,
                "class_id": one.class_id,
                "detection_id": str(uuid5(NAMESPACE_URL, f"{place}/{k}")),
            }
            for k, one in enumerate(picture.detections or ())
        ],
    }

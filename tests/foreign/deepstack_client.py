"""Base URL, picture -> what deepstack-sdk makes of it: by the default model, by a named one, of no picture."""

import json
import sys
from pathlib import Path
from typing import Any

from deepstack_sdk import Detection, ServerConfig

base, path = sys.argv[1:]
config = ServerConfig(base)


def read(detection: Detection, image: str | bytes) -> str | list[list[Any]]:
    try:
        found = detection.detectObject(image=image, min_confidence=0.05)
    except Exception as error:
        return str(error)
    return [[one.label, one.confidence, one.x_min, one.y_min, one.x_max, one.y_max] for one in found]


custom = Detection(config, name="yolov3-tiny")
print(json.dumps([read(Detection(config), path), read(custom, Path(path).read_bytes()), read(custom, b"no picture")]))

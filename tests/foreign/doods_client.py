"""Base URL, picture -> what pydoods reads: detectors, detections by rules, the status of an error."""

import json
import sys
from pathlib import Path

import requests
from pydoods import PyDOODS

base, path = sys.argv[1:]
data = Path(path).read_bytes()
doods = PyDOODS(base)
try:
    doods.detect(data, {"*": 50}, "nonesuch")
    status = 200
except requests.HTTPError as error:
    status = error.response.status_code
print(
    json.dumps(
        {
            "detectors": doods.get_detectors(),
            "found": doods.detect(data, {"*": 5, "dog": 20}, "yolov3-tiny", id="7"),
            "by default": doods.detect(data, {"cat": 5}),
            "unknown": status,
        }
    )
)

"""`{"roboflow": [...], "labelstudio": [...], "config": XML}` in a file -> what supervision and Label Studio read."""

import json
import sys

import supervision
from label_studio_sdk.label_interface import LabelInterface

with open(sys.argv[1]) as file:
    given = json.load(file)
read = []
for one in given["roboflow"]:
    seen = supervision.Detections.from_inference(one)
    read.append(
        {
            "xyxy": seen.xyxy.tolist(),
            "confidence": [] if seen.confidence is None else seen.confidence.tolist(),
            "class_id": [] if seen.class_id is None else seen.class_id.tolist(),
            "class_name": [str(name) for name in seen.data.get("class_name", [])],
            "tracked": seen.tracker_id is not None,
        }
    )
interface = LabelInterface(given["config"])
wrong = [interface.validate_prediction(one, return_errors=True) for one in given["labelstudio"]]
print(json.dumps({"roboflow": read, "labelstudio": wrong}))

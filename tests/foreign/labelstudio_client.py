"""Base URL, picture -> a labelling interface set up and predicted for, as Label Studio does, judged by its own SDK."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import requests
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import PredictionValue

base, path = sys.argv[1:]
CONFIG = """<View>
  <Image name="photo" value="$address"/>
  <RectangleLabels name="boxes" toName="photo" score_threshold="0.05">
    <Label value="Dog"/><Label value="Flying" predicted_values="kite, airplane"/>
  </RectangleLabels>
</View>"""
interface = LabelInterface(CONFIG)
(control,) = interface.controls
data = "data:image/jpeg;base64," + base64.b64encode(Path(path).read_bytes()).decode()
tasks = [{"id": 1, "data": {"address": data}}, {"id": 2, "data": {"address": "/data/upload/1/dog.jpg"}}]
project = {"project": "1.1700000000"}


def post(call: str, body: dict[str, Any]) -> Any:
    answer = requests.post(f"{base}/{call}", json=project | body, timeout=30)
    answer.raise_for_status()
    return answer.json()


health = requests.get(f"{base}/health", timeout=10).json()
setup = post("setup", {"schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "t"})
sent = {"tasks": tasks, "model_version": None, "label_config": CONFIG, "params": {"login": None, "context": None}}
results = post("predict", sent)["results"]
print(
    json.dumps(
        {
            "health": health,
            "setup": setup,
            "results": results,
            "errors": [interface.validate_prediction(one, return_errors=True) for one in results],
            "control": [control.name, control.to_name, sorted(control.labels)],
            "model_versions": [PredictionValue(**one).model_version for one in results],
        }
    )
)

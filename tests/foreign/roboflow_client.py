"""Base URL, picture -> what inference-sdk gets in both of its modes, and what supervision reads of that."""

import json
import sys
from typing import Any

import supervision
from inference_sdk import InferenceConfiguration, InferenceHTTPClient, VisualisationResponseFormat
from inference_sdk.http.errors import HTTPCallErrorError

base, path = sys.argv[1:]
MODEL = "yolov3-tiny/1"
client = InferenceHTTPClient(api_url=base, api_key="any")
client.configure(
    InferenceConfiguration(confidence_threshold=0.05, iou_threshold=0.5, max_detections=50, api_key_transport="both")
)


def read(result: dict[str, Any]) -> dict[str, Any]:
    seen = supervision.Detections.from_inference(result)
    return {
        "xyxy": seen.xyxy.tolist(),
        "confidence": seen.confidence.tolist(),
        "class_id": seen.class_id.tolist(),
        "class_name": [str(name) for name in seen.data["class_name"]],
    }


newer = client.infer(path, model_id=MODEL)
several = client.infer([path, path], model_id=MODEL)
with client.use_api_v0():
    older = client.infer(path, model_id=MODEL)
drawing = InferenceConfiguration(
    visualize_predictions=True, output_visualisation_format=VisualisationResponseFormat.NUMPY, api_key_transport="both"
)
with client.use_configuration(drawing):
    drawn = client.infer(path, model_id=MODEL)["visualization"]
try:
    client.infer(path, model_id="coco/3")
    refused = None
except HTTPCallErrorError as error:
    refused = [error.status_code, error.api_message]
print(
    json.dumps(
        {
            "server": client.get_server_info().to_dict(),
            "models": [one.model_id for one in client.list_loaded_models().models],
            "newer": read(newer),
            "several": [read(one) for one in several],
            "older": read(older),
            "image": newer["image"],
            "drawn": list(drawn.shape),
            "refused": refused,
        }
    )
)

"""A detection service as tutorials have it: FastAPI, a plain function for the endpoint, cvlib over OpenCV's DNN module.

Ways: `tutorial` (cvlib keeps one network for the whole process and FastAPI calls the function on many threads: two
requests at once make errors, and end the process soon), `one-at-a-time` (a lock, which no tutorial has). Tutorials take
a form and answer a drawn picture; this takes the raw body and answers JSON without drawing, which is less work, so that
the form of request is that of all others. cvlib looks for its weights below HOME. The package as a whole imports
TensorFlow, for gender detection; only its module for objects is taken here.
"""

# mypy: disable-error-code="import-not-found"
# The peer's package is installed in an environment of its own.

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from threading import Lock
from typing import Annotated, Any

import cv2
import numpy as np
import uvicorn
from fastapi import Body, FastAPI

from bench.peers.serving import Serving

_spec = importlib.util.find_spec("cvlib")
assert _spec is not None
sys.modules["cvlib"] = importlib.util.module_from_spec(_spec)  # its __init__ is not run
from cvlib.object_detection import detect_common_objects  # noqa: E402

app = FastAPI()
serving = Serving.from_environment()
turn = Lock() if serving.way == "one-at-a-time" else nullcontext()


@app.get("/")
def home() -> str:
    """Says that the server is up."""
    return "ready"


@app.post("/predict")
def predict(data: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    """One picture."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    with turn:
        boxes, labels, confidences = detect_common_objects(picture, confidence=0.25, model="yolov3-tiny")
    found = zip(boxes, labels, confidences, strict=True)
    return {"detections": [{"label": label, "confidence": sure, "box": box} for box, label, sure in found]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=serving.port, log_level="warning")

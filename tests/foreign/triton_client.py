"""tritonclient over HTTP against `address` (host:port): every call of the protocol, with the key that may be given.

Arguments: address, picture file, model, key or ''. Prints what the client returns, as one JSON document.
"""

import base64
import json
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.http.auth import BasicAuth
from tritonclient.utils import InferenceServerException

address, path, model, key = sys.argv[1:]
client = InferenceServerClient(address)
if key:
    client.register_plugin(BasicAuth("", key))
with open(path, "rb") as file:
    picture = file.read()
NAMES = "boxes", "scores", "class_ids", "labels", "num_detections"


def shown(result: Any) -> dict[str, Any]:
    found = {}
    for name in NAMES:
        values = result.as_numpy(name)
        if values is not None:
            found[name] = [
                str(values.dtype),
                np.char.decode(values.astype("S")).tolist() if name == "labels" else values.tolist(),
            ]
    return found


def images(count: int, binary: bool) -> list[Any]:
    tensor = InferInput("images", [count], "BYTES")
    data = picture if binary else base64.b64encode(picture)
    tensor.set_data_from_numpy(np.array([data] * count, dtype=np.object_), binary_data=binary)
    return [tensor]


pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(1, 2, 3, 3)
raw = InferInput("images", list(pixels.shape), "UINT8")
raw.set_data_from_numpy(pixels)
some = [InferRequestedOutput("labels", binary_data=False), InferRequestedOutput("boxes", binary_data=True)]
binary = client.infer(model, images(2, True), request_id="mine", parameters={"threshold": 0.3})
try:
    client.infer("nowhere", images(1, True))
    refused = None
except InferenceServerException as error:
    refused = [error.status(), error.message()]
print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [
                client.is_model_ready(model),
                client.is_model_ready(model, "1"),
                client.is_model_ready(model, "7"),
            ],
            "server": client.get_server_metadata(),
            "model": client.get_model_metadata(model),
            "index": client.get_model_repository_index(),
            "binary": shown(binary),
            "response": {name: binary.get_response()[name] for name in ("id", "model_name", "model_version")},
            "json": shown(client.infer(model, images(1, False), model_version="1", outputs=some)),
            "pixels": shown(client.infer(model, [raw])),
            "packed": [
                shown(client.infer(model, images(1, True), request_compression_algorithm=how))
                for how in ("gzip", "deflate")
            ],
            "refused": refused,
        }
    )
)

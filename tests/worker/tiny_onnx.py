"""Small ONNX models under the contract, built node by node, whose answers can be told from their frames.

`brightness`: A = 2 boxes, C = 2 classes. Box 0 is the whole frame, box 1 its top left quarter; the score of class 0 is
the mean of the frame, 0..1, and of class 1 one minus that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shared.manifest import Frame, Manifest, Origin

SIDE = 8
INT64_MAX = np.iinfo(np.int64).max


def manifest(path: Path, *, labels: tuple[str, ...] = ("light", "dark"), **fields: object) -> Manifest:
    """A manifest for the file at `path`."""
    values: dict[str, object] = {
        "name": "brightness",
        "version": "1",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64,
        "labels": labels,
        "frame": Frame(width=SIDE, height=SIDE),
        "origin": Origin(source="made here", licence="Apache-2.0"),
    }
    return Manifest.model_validate(values | fields)


def brightness(
    path: Path,
    *,
    image_type: int = TensorProto.UINT8,
    batch: int | str = "N",
    image_name: str = "images",
    channels: int = 3,
    labels: bool = False,
) -> Path:
    """Write the model to `path`; the arguments break or vary the contract."""
    fixed = {
        "scale": np.float32(1 / 255),
        "whole": np.array([[[0, 0, 1, 1], [0, 0, 0.5, 0.5]]], np.float32),
        "one": np.float32(1),
        "zero": np.array([[[0.0], [0.0]]], np.float32),
    }
    nodes = [
        helper.make_node("Cast", [image_name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Reshape", ["mean", "column"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["light"]),
        helper.make_node("Sub", ["one", "light"], ["dark"]),
        helper.make_node("Concat", ["light", "dark"], ["pair"], axis=2),
        helper.make_node("Add", ["pair", "zero"], ["scores"]),
        helper.make_node("Mul", ["light", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "whole"], ["boxes"]),
    ]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in fixed.items()]
    initial.append(numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "column"))
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 2, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 2, 2]),
    ]
    if labels:
        nodes.append(helper.make_node("Cast", ["boxes"], ["labels"], to=TensorProto.INT64))
        outputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, [batch, 2, 4]))
    images = helper.make_tensor_value_info(image_name, image_type, [batch, SIDE, SIDE, channels])
    graph = helper.make_graph(nodes, "brightness", [images], outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path

"""Versions of a model that tell which of them answered: by the label, and by the confidence in the graph itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.manifest import Frame, Manifest, Origin, Traits
from zoo.repository import install

SIDE = 32
BALLAST = 1 << 20
"""Floats of a table inside each version: 4 MiB, so that one that stays in memory is seen."""


def confidence(number: int) -> float:
    """What version `number` says of every picture."""
    return 0.3 + 0.01 * number


def put(models_dir: Path, name: str, number: int) -> Manifest:
    """Install what becomes version `number`: one box over the whole frame, labelled `v<number>`."""
    constants: dict[str, NDArray[Any]] = {
        "column": np.array([-1, 1, 1], np.int64),
        "table": np.full(BALLAST, number, np.float32),
        "nothing": np.array(0, np.float32),
        "confidence": np.array(confidence(number), np.float32),
        "whole": np.array([[[0, 0, 1, 1]]], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Reshape", ["mean", "column"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),  # so that the table cannot be folded away
        helper.make_node("Mul", ["looked_up", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "confidence"], ["scores"]),
        helper.make_node("Add", ["zero", "whole"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "telling",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1, 1]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    assert isinstance(model, onnx.ModelProto)
    origin = Origin(source="made by a test", licence="none")
    made = install(
        models_dir, name, model, Traits(labels=(f"v{number}",), frame=Frame(width=SIDE, height=SIDE), origin=origin)
    )
    assert made.version == str(number)
    return made

"""Runs one network three ways: our ONNX in ONNX Runtime's CPU provider, and OpenCV's own darknet importer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from tests.zoo.zoo_random import sections
from zoo import cfg as syntax
from zoo import darknet, layers
from zoo.graph import Graph, Tensor
from zoo.network import Network
from zoo.weights import Weights


def onnx_outputs(cfg: str, weights: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, A, 4) and scores (N, A, C) of the converted model; the model is checked on the way."""
    model = darknet.convert(cfg, weights).model
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"images": images})
    return boxes, scores


def opencv_outputs(cfg: str, weights: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same from `cv2.dnn.readNetFromDarknet`, one picture at a time. `thresh=0` keeps every score."""
    text = "\n".join(
        "\n".join(
            [
                f"[{kind}]",
                *(f"{key}={value}" for key, value in options.items()),
                "thresh=0" * (kind in ("yolo", "region")),
            ]
        )
        for kind, options in sections(cfg)
    )
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(text.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.enableWinograd(False)
    boxes, scores = [], []
    for image in images:
        net.setInput(cv2.dnn.blobFromImage(image, 1 / 255))
        outputs = net.forward(net.getUnconnectedOutLayersNames())  # heads, and layers that nobody reads
        rows = np.concatenate([output for output in outputs if output.ndim == 2])
        centre, half = rows[:, :2], rows[:, 2:4] / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        scores.append(rows[:, 5:])
    return np.stack(boxes), np.stack(scores)


def pictures(count: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, 3) noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def assert_same(found: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]) -> None:
    """Within 1e-4: scores relative to themselves, corners to the largest of their box; 1e-5 absolute near zero.

    A corner may be the small difference of a large centre and a large half, so it has no relative precision of its own.
    """
    for ours, theirs in zip(found, reference, strict=True):
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
    (boxes, scores), (their_boxes, their_scores) = found, reference
    np.testing.assert_allclose(scores, their_scores, rtol=1e-4, atol=1e-5)
    extent = np.maximum(np.abs(their_boxes).max(axis=-1, keepdims=True), 0.1)
    np.testing.assert_allclose(boxes / extent, their_boxes / extent, rtol=0, atol=1e-4)


def layer_output(cfg: str, weights: Path, images: np.ndarray) -> np.ndarray:
    """What the last layer of a cfg without a head gives, float32 (N, C, H, W), in ONNX Runtime's CPU provider."""
    first, *rest = syntax.parse(cfg)
    graph = Graph()
    height, width = first.number("height", 0), first.number("width", 0)
    value = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    value = graph.add("Cast", value, to=int(onnx.TensorProto.FLOAT))
    net = Network(graph, Weights(weights), width, height, Tensor(value, 3, height, width))
    if rest[0].kind == "convolutional" and rest[0].number("groups", 1) == 1:
        net.frame = value
    else:
        net.current = Tensor(graph.add("Mul", value, graph.reals(1 / 255)), 3, height, width)
    for section in rest:
        layers.emit(net, section)
    net.weights.finish()
    shape = [len(images), *net.current.shape]
    model = graph.model(height=height, width=width, anchors=0, classes=0, interpolation="linear")
    model.graph.ClearField("output")
    model.graph.output.append(onnx.helper.make_tensor_value_info(net.current.name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])


def assert_close(found: np.ndarray, reference: np.ndarray) -> None:
    """Within 1e-4 relative; near zero within 1e-5 of the largest value."""
    assert found.shape == reference.shape
    assert np.ptp(reference) > 0, "the reference says nothing"
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())

"""int8 graphs against a NumPy forward pass with the same scales, written from the definition of QuantizeLinear."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.zoo.zoo_convolutions import CHANNELS, Layers, frames, leaky, sigmoid
from zoo.errors import PrecisionError
from zoo.precision.int8 import LEAST_FRAMES, convolutions, quantise

SEEN = frames(0.1, 0.3, 0.45, 0.5, 0.55, 0.9)


def run(model: onnx.ModelProto, feed: NDArray[np.uint8]) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["scores"], {"images": feed})[0])


def activations(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """To uint8 and back: scale and zero point from the range, which always holds 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return np.asarray((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale, np.float32)


def weights(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """To int8 and back: symmetric, one scale for each output channel."""
    scale = np.abs(values).max(axis=1, keepdims=True) / 127
    return np.asarray(np.rint(values / scale) * scale, np.float32)


def test_the_inner_convolutions_compute_what_their_scales_say() -> None:
    layers = Layers()
    value = exact = np.asarray(SEEN.astype(np.float32).transpose(0, 3, 1, 2) / 255, np.float32)
    for k, weight in enumerate(layers.weights):
        if k in (1, 2):
            value, weight = activations(value, float(exact.min()), float(exact.max())), weights(weight)
        value = np.einsum("oc,nchw->nohw", weight, value)
        exact = np.einsum("oc,nchw->nohw", layers.weights[k], exact)
        if k < 3:
            value, exact = leaky(value), leaky(exact)
    expected = sigmoid((value + layers.bias[:, None, None]).mean(axis=(2, 3)))
    made = quantise(layers.model(), SEEN)
    found = run(made, SEEN)[:, 0]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    difference = np.abs(found - sigmoid((exact + layers.bias[:, None, None]).mean(axis=(2, 3)))).max()
    assert 1e-4 < difference < 0.05, "int8 must show, and no more than it may"


def test_the_first_and_the_last_convolution_keep_their_precision() -> None:
    assert convolutions(Layers().model().graph) == ["conv1", "conv2"]
    made = quantise(Layers().model(), SEEN).graph
    from_int8 = {node.output[0] for node in made.node if node.op_type == "DequantizeLinear"}
    quantised = {node.name for node in made.node if node.op_type == "Conv" and set(node.input[:2]) <= from_int8}
    assert quantised == {"conv1", "conv2"}
    stored = {one.name: one for one in made.initializer}
    int8 = [one for one in stored.values() if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4]
    assert [list(one.dims) for one in int8] == [[CHANNELS, CHANNELS, 1, 1]] * 2
    axes = [
        one.i
        for node in made.node
        if node.input[0] in {w.name for w in int8}
        for one in node.attribute
        if one.name == "axis"
    ]
    assert axes == [0, 0], "one scale for each output channel"


def test_the_signature_stays() -> None:
    model = Layers().model()
    made = quantise(model, SEEN)
    assert (made.graph.input, made.graph.output) == (model.graph.input, model.graph.output)
    assert list(made.metadata_props) == list(model.metadata_props) == []


def test_calibration_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        quantise(Layers().model(), SEEN)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def older(opset: int) -> onnx.ModelProto:
    """The model as an old exporter writes it: in that opset, with nameless nodes."""
    model = Layers().model()
    model.opset_import[0].version = opset
    for node in model.graph.node:
        node.ClearField("name")
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("opset", [11, 12, 13])
def test_models_of_older_opsets(opset: int) -> None:
    made = quantise(older(opset), SEEN)
    assert made.opset_import[0].version == 13
    np.testing.assert_array_equal(run(made, SEEN), run(quantise(Layers().model(), SEEN), SEEN))


def test_an_opset_that_cannot_be_converted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
        raise onnx.version_converter.ConvertError("no adapter for Upsample")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    with pytest.raises(PrecisionError, match="written in 11 and cannot be converted"):
        quantise(older(11), SEEN)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(PrecisionError, match=f"at least {LEAST_FRAMES} pictures"):
        quantise(Layers().model(), SEEN[: LEAST_FRAMES - 1])


def test_convolutions_over_few_channels_keep_their_precision() -> None:
    layers = Layers()
    layers.weights[1] = layers.weights[1][: CHANNELS - 1]
    layers.weights[2] = layers.weights[2][:, : CHANNELS - 1]
    assert convolutions(layers.model().graph) == ["conv1"]


def test_a_model_without_inner_convolutions_is_refused() -> None:
    layers = Layers()
    short = Layers([layers.weights[0], layers.weights[3]])
    with pytest.raises(PrecisionError, match="no convolution over 128 channels or more"):
        quantise(short.model(), SEEN)

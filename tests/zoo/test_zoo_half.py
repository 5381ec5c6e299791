"""fp16 graphs: valid, of the same signature, and as far from fp32 as the rounding of a NumPy forward pass says."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.zoo.zoo_convolutions import Layers, frames, leaky, sigmoid
from zoo.errors import PrecisionError
from zoo.precision.half import halve

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def run(model: onnx.ModelProto, feed: NDArray[np.generic], name: str = "images") -> list[NDArray[np.float32]]:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )  # fmt: skip
    return list(session.run(None, {name: feed}))


def types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        one.name: one.data_type for one in inferred.initializer
    }


def rounded(values: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.asarray(values, np.float16).astype(np.float32)


def test_weights_and_features_are_fp16_and_the_rest_is_not() -> None:
    made = halve(Layers().model())
    kinds = types(made)
    for node in made.graph.node:
        if node.op_type == "Conv":
            assert {kinds[name] for name in (*node.input, *node.output)} == {HALF}
        if node.op_type in ("Mul", "ReduceMean", "Sigmoid", "Add"):
            assert HALF not in {kinds[name] for name in (*node.input, *node.output)}
    assert {name: kinds[name] for name in ("images", "boxes", "scores")} == {
        "images": TensorProto.UINT8, "boxes": FLOAT, "scores": FLOAT,
    }  # fmt: skip
    assert sum(node.op_type == "Cast" for node in made.graph.node) == 3  # the picture's own, one in, one out
    assert not {one.name for one in made.graph.initializer if one.data_type == FLOAT} & {"w0", "w1", "w2", "w3", "bias"}


def test_the_emulation_is_what_a_device_stores_in_fp16() -> None:
    layers, seen = Layers(), frames(0.2, 0.45, 0.5, 0.55, 0.9)
    value = rounded(seen.astype(np.float32).transpose(0, 3, 1, 2) * np.float32(1 / 255))
    for k, weights in enumerate(layers.weights):
        value = np.einsum("oc,nchw->nohw", rounded(weights), value)
        value = rounded(leaky(rounded(value)) if k < 3 else value + rounded(layers.bias)[:, None, None])
    expected = sigmoid(value.mean(axis=(2, 3)))
    _, emulated = run(halve(layers.model(), emulated=True), seen)
    _, exact = run(layers.model(), seen)
    np.testing.assert_allclose(emulated[:, 0], expected, atol=3e-4)
    assert 5e-5 < np.abs(emulated - exact).max() < 5e-3
    _, light = run(halve(layers.model()), seen)
    np.testing.assert_allclose(light, exact, atol=5e-3)


def test_the_emulation_shows_an_overflow() -> None:
    """Of a value between two convolutions; the variant itself would hide it on a CPU."""
    layers = Layers()
    layers.weights[1][:] *= 6e4
    layers.weights[2][:] /= 300
    layers.weights[3][:] /= 200
    seen = frames(0.4, 0.58)
    expected = run(layers.model(), seen)[1]
    np.testing.assert_allclose(run(halve(layers.model()), seen)[1], expected, atol=5e-3)
    emulated = run(halve(layers.model(), emulated=True), seen)[1]
    np.testing.assert_allclose(emulated[:1], expected[:1], atol=5e-3)
    assert not np.allclose(emulated[1:], expected[1:], atol=0.1)


def test_a_weight_beyond_the_range_keeps_its_node_in_fp32() -> None:
    layers = Layers()
    layers.weights[1][:] *= 1e7
    layers.weights[2][:] *= 1e-7
    kinds = types(halve(layers.model()))
    assert kinds["c1"] == FLOAT
    assert kinds["w1"] == FLOAT
    assert kinds["w0_fp16"] == kinds["w3_fp16"] == HALF


def test_a_model_without_heavy_operators_is_refused() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    info = [helper.make_tensor_value_info(name, FLOAT, [1]) for name in "xy"]
    with pytest.raises(PrecisionError, match="no convolution"):
        halve(helper.make_model(helper.make_graph([node], "g", info[:1], info[1:])))


def test_a_value_that_a_loop_or_branch_uses_stays_in_fp32_for_it() -> None:
    info = helper.make_tensor_value_info

    def branch(name: str, op: str) -> onnx.GraphProto:
        return helper.make_graph(
            [helper.make_node(op, ["b"], [f"{name}_out"])], name, [], [info(f"{name}_out", FLOAT, None)]
        )

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("If", ["true"], ["d"], then_branch=branch("yes", "Neg"), else_branch=branch("no", "Abs")),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    initial = [
        numpy_helper.from_array(np.eye(2, dtype=np.float32), "w"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    graph = helper.make_graph(nodes, "g", [info("x", FLOAT, [1, 2])], [info("y", FLOAT, [1, 2])], initial)
    made = halve(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert types(made)["b"] == FLOAT
    assert types(made)["b_fp16"] == HALF
    np.testing.assert_allclose(run(made, np.array([[3.0, -2.0]], np.float32), "x")[0], [[0, 0]], atol=1e-6)


OPS = ("conv", "leaky", "sigmoid", "exp", "double", "join", "upsample", "pool")


@settings(max_examples=40, deadline=None)
@given(ops=st.lists(st.sampled_from(OPS), max_size=12), seed=st.integers(0, 99))
def test_every_chain_keeps_its_signature_and_its_answer(ops: list[str], seed: int) -> None:
    model = chain(["conv", *ops, "conv"], np.random.default_rng(seed))
    feed = np.random.default_rng(seed).uniform(0, 1, (2, 2, 4, 4)).astype(np.float32)
    (expected,) = run(model, feed, "x")
    for emulated in (False, True):
        made = halve(model, emulated)
        assert (made.graph.input, made.graph.output) == (model.graph.input, model.graph.output)
        (found,) = run(made, feed, "x")
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)


def chain(ops: list[str], rng: np.random.Generator) -> onnx.ModelProto:
    """Operators one after the other on (N, 2, H, W), H and W open; `join` is a route to the value before."""
    nodes: list[onnx.NodeProto] = []
    initial = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    value = before = "x"
    for k, op in enumerate(ops):
        out, make = f"v{k}", helper.make_node
        if op in ("conv", "join"):
            channels = 2 if op == "conv" else 4
            weight = rng.uniform(-0.5, 0.5, (2, channels, 1, 1)).astype(np.float32)
            initial.append(numpy_helper.from_array(weight, f"w{k}"))
        steps = {
            "conv": [make("Conv", [value, f"w{k}"], [out])],
            "leaky": [make("LeakyRelu", [value], [out], alpha=0.1)],
            "sigmoid": [make("Sigmoid", [value], [out])],
            "exp": [make("Tanh", [value], [f"t{k}"]), make("Exp", [f"t{k}"], [out])],
            "double": [make("Add", [value, value], [out])],
            "join": [make("Concat", [value, value], [f"j{k}"], axis=1), make("Conv", [f"j{k}", f"w{k}"], [out])],
            "upsample": [make("Resize", [value, "", "scales"], [out], mode="nearest")],
            "pool": [make("MaxPool", [value], [out], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])],
        }[op]
        if sum(one == "upsample" for one in ops[: k + 1]) > 2 and op == "upsample":
            continue
        nodes += steps
        before, value = value, out
    assert before
    info = helper.make_tensor_value_info
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes, "g", [info("x", FLOAT, ["N", 2, 4, 4])], [info("y", FLOAT, ["N", 2, "H", "W"])], initial
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

"""Loading, refusing and running small models in the real ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from shared.errors import InferenceFailed, StartupError
from shared.manifest import Manifest
from tests.worker.tiny_onnx import SIDE, brightness, manifest
from worker import hardware
from worker.engine import Engine
from worker.plan import Asked, Plan, Share
from worker.providers import PROVIDERS

needs_openvino = pytest.mark.skipif(
    not PROVIDERS["openvino"].available(), reason="this ONNX Runtime has no OpenVINO provider"
)
ALONE = Asked(threads=1)
HERE = [name for name, provider in PROVIDERS.items() if provider.available()]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return brightness(tmp_path / "model.onnx")


def frames(*levels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels])


@pytest.mark.parametrize("provider", HERE)
def test_every_provider_here_answers_each_picture_of_a_batch(model: Path, provider: str) -> None:
    loaded = Engine.load(model, manifest(model), provider, "fp32", ALONE)
    loaded.warm_up(3)
    output = loaded.run(frames(0, 51, 255))
    assert (loaded.provider, loaded.precision) == (provider, "fp32")
    assert output.boxes.shape == (3, 2, 4)
    assert output.boxes.dtype == output.scores.dtype == np.float32
    np.testing.assert_allclose(output.scores[:, 0, 0], [0, 0.2, 1], atol=1e-6)
    np.testing.assert_allclose(output.scores[:, 1, 1], [1, 0.8, 0], atol=1e-6)
    np.testing.assert_allclose(output.boxes[2], np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5]]), atol=1e-6)
    assert len(output) == 3
    np.testing.assert_array_equal(output.picture(1).scores, output.scores[1])


@pytest.mark.parametrize("provider", HERE)
def test_lanes_answer_side_by_side_what_the_whole_device_answers(model: Path, provider: str) -> None:
    if PROVIDERS[provider].gpu:
        pytest.skip("a GPU is not divided")
    loaded = Engine.load(model, manifest(model), provider, "fp32", Asked(threads=4, lanes=2, max_batch=3))
    assert loaded.plan == Plan(lanes=2, threads=4, lane_threads=2, max_batch=3)
    loaded.warm_up(3)
    together = threading.Barrier(2)

    def lane(first: int) -> None:
        together.wait(10)
        for level in range(first, 256, 5):
            output = loaded.run_in_lane(frames(level, 255 - level))
            np.testing.assert_allclose(output.scores[:, 0, 0], [level / 255, 1 - level / 255], atol=1e-6)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lane, (0, 2)))
    np.testing.assert_allclose(loaded.run(frames(51)).scores[:, 0, 0], [0.2], atol=1e-6)


@needs_openvino
def test_openvino_has_a_stream_and_a_share_of_the_threads_for_each_lane() -> None:
    properties = json.loads(PROVIDERS["openvino"].options["fp32"](Share(threads=6, streams=3))["load_config"])["CPU"]
    assert (properties["NUM_STREAMS"], properties["INFERENCE_NUM_THREADS"]) == ("3", "6")


def test_a_model_of_one_picture_a_run_keeps_to_that(tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx", batch=1)
    loaded = Engine.load(path, manifest(path, max_batch=1), "cpu", "fp32", Asked(threads=2, lanes=2, max_batch=8))
    assert (loaded.plan.max_batch, loaded.plan.lanes) == (1, 2)
    loaded.warm_up(loaded.plan.max_batch)


def test_auto_takes_the_first_provider_that_is_here(model: Path) -> None:
    assert Engine.load(model, manifest(model), "auto", "auto", ALONE).provider == HERE[0]


def test_auto_precision_is_the_manifest_s_word_for_the_provider(model: Path) -> None:
    told = manifest(model, precision={HERE[0]: "fp32"})
    assert Engine.load(model, told, "auto", "auto", ALONE).precision == "fp32"


@needs_openvino
@pytest.mark.parametrize("has", [True, False])
def test_openvino_takes_bf16_only_where_the_cpu_has_it(model: Path, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda: has)
    assert Engine.load(model, manifest(model), "openvino", "auto", ALONE).precision == ("bf16" if has else "fp32")


def test_bf16_on_a_cpu_without_it_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda: False)
    monkeypatch.setitem(PROVIDERS, "cpu", PROVIDERS["openvino"])
    with pytest.raises(StartupError, match="no bf16"):
        Engine.load(model, manifest(model), "cpu", "bf16")


def test_openvino_is_always_told_its_precision() -> None:
    options = PROVIDERS["openvino"].options["fp32"](Share(2))
    assert json.loads(options["load_config"])["CPU"]["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.mark.parametrize(
    ("provider", "precision", "text"),
    [("tpu", "auto", "no provider tpu"), ("cpu", "bf16", "does not run bf16"), ("cpu", "int3", "does not run int3")],
)
def test_what_cannot_be_had_is_refused(model: Path, provider: str, precision: str, text: str) -> None:
    with pytest.raises(StartupError, match=text):
        Engine.load(model, manifest(model), provider, precision)


def test_a_provider_that_is_not_here_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(StartupError, match="cuda is not available here; cpu would be"):
        Engine.load(model, manifest(model), "cuda", "auto")


def test_a_provider_that_falls_back_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime only warns where a provider's libraries are missing, and goes on with the CPU."""

    class FellBack(onnxruntime.InferenceSession):  # type: ignore[misc]
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", FellBack)
    if "openvino" not in HERE:
        pytest.skip("only the CPU provider is here, and it cannot fall back")
    with pytest.raises(StartupError, match="did not start"):
        Engine.load(model, manifest(model), "openvino", "fp32", ALONE)


def test_another_file_than_the_manifest_s_is_refused(model: Path) -> None:
    told = manifest(model)
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(StartupError, match="is not the file"):
        Engine.load(model, told, "cpu", "fp32")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be read"):
        Engine.load(tmp_path / "model.onnx", manifest(tmp_path / "model.onnx"), "cpu", "fp32")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(StartupError, match="cannot be loaded on cpu"):
        Engine.load(path, manifest(path), "cpu", "fp32")


@pytest.mark.parametrize(
    ("variant", "fields", "text"),
    [
        ({"image_type": onnx.TensorProto.FLOAT}, {}, "images is tensor"),
        ({}, {"interpolation": "darknet"}, "images is tensor"),
        ({"batch": 1}, {}, "images is tensor"),
        ({"channels": 1}, {}, "images is tensor"),
        ({"image_name": "data"}, {}, "the contract says images"),
        ({"labels": True}, {}, "the contract says images, boxes, scores"),
        ({}, {"labels": ("one",)}, "scores is tensor"),
        ({}, {"frame": {"width": 16, "height": 8}}, "images is tensor"),
        ({}, {"single_label": True}, "labels"),
        ({"labels": True}, {"single_label": True}, "is tensor"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(
    tmp_path: Path, variant: dict[str, object], fields: dict[str, object], text: str
) -> None:
    path = brightness(tmp_path / "model.onnx", **variant)  # type: ignore[arg-type]
    with pytest.raises(StartupError, match=text):
        Engine.load(path, manifest(path, **fields), "cpu", "fp32")  # type: ignore[arg-type]


def test_float_frames_where_the_interpolation_is_darknet_s(tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx", image_type=onnx.TensorProto.FLOAT)
    loaded = Engine.load(path, manifest(path, interpolation="darknet"), "cpu", "fp32", ALONE)
    loaded.warm_up(2)
    half = np.full((1, SIDE, SIDE, 3), 127.5, np.float32)
    assert loaded.run(half).scores[0, 0, 0] == pytest.approx(0.5)


@pytest.fixture
def varied(model: Path) -> tuple[Path, Manifest]:
    """The model, and an int8 variant of it that can be told apart: it is twice as bright."""
    other = onnx.load(model)
    for tensor in other.graph.initializer:
        if tensor.name == "scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(2 / 255, np.float32), "scale"))
    path = model.with_name("model.int8.onnx")
    onnx.save(other, path)
    agreement = {"pictures": 1, "detections": 1, "matched": 1, "confidence_drift": 0}
    variant = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "agreement": agreement}
    return path, manifest(model, variants={"int8": variant})


@pytest.mark.parametrize(("precision", "light"), [("fp32", 0.2), ("int8", 0.4), ("auto", 0.2)])
def test_a_variant_has_a_file_of_its_own(
    varied: tuple[Path, Manifest], model: Path, precision: str, light: float
) -> None:
    loaded = Engine.load(model, varied[1], "cpu", precision, ALONE)
    assert loaded.precision == ("fp32" if precision == "auto" else precision)
    assert loaded.run(frames(51)).scores[0, 0, 0] == pytest.approx(light)


def test_another_file_than_the_variant_s_is_refused(varied: tuple[Path, Manifest], model: Path) -> None:
    path, told = varied
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StartupError, match=r"model\.int8\.onnx is not the file"):
        Engine.load(model, told, "cpu", "int8", ALONE)
    assert Engine.load(model, told, "cpu", "fp32", ALONE).precision == "fp32"
    path.unlink()
    with pytest.raises(StartupError, match=r"model\.int8\.onnx cannot be read"):
        Engine.load(model, told, "cpu", "int8", ALONE)


def test_a_trial_runs_before_it_is_in_the_manifest(varied: tuple[Path, Manifest], model: Path) -> None:
    loaded = Engine.load(model, manifest(model), "cpu", "int8", ALONE, trial=varied[0])
    assert loaded.run(frames(51)).scores[0, 0, 0] == pytest.approx(0.4)


def hardmax(path: Path) -> Path:
    """The model with its scores rounded to one of them: an operator that OpenVINO does not have."""
    changed = onnx.load(path)
    for node in changed.graph.node:
        for names in (node.input, node.output):
            names[:] = ["soft" if name == "scores" else name for name in names]
    changed.graph.node.append(onnx.helper.make_node("Hardmax", ["soft"], ["scores"]))
    onnx.checker.check_model(changed)
    onnx.save(changed, path)
    return path


@needs_openvino
def test_auto_hands_on_what_openvino_cannot_run_and_says_so(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = hardmax(model)
    with caplog.at_level(logging.WARNING, "worker.engine"):
        loaded = Engine.load(path, manifest(path), "auto", "auto", ALONE)
    assert (loaded.provider, loaded.precision) == ("cpu", "fp32")
    assert loaded.run(frames(51)).scores[0, 0].tolist() == [0, 1]
    assert "brightness@1 goes to the next provider" in caplog.text


@needs_openvino
def test_openvino_by_name_hands_nothing_on(model: Path) -> None:
    path = hardmax(model)
    with pytest.raises(StartupError, match="cannot be loaded on openvino"):
        Engine.load(path, manifest(path), "openvino", "auto", ALONE)


@needs_openvino
def test_auto_hands_on_nothing_that_is_wrong_for_every_provider(model: Path) -> None:
    told = manifest(model)
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(StartupError, match="is not the file"):
        Engine.load(model, told, "auto", "auto", ALONE)


def test_a_failed_run_is_inference_failed(model: Path) -> None:
    loaded = Engine.load(model, manifest(model), "cpu", "fp32", ALONE)
    with pytest.raises(InferenceFailed):
        loaded.run(np.zeros((1, SIDE, SIDE + 1, 3), np.uint8))


def test_an_output_that_is_not_finite_is_refused_at_warm_up(tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(np.inf, np.float32), "scale"))
    onnx.save(model, path)
    with pytest.raises(StartupError, match="not finite"):
        Engine.load(path, manifest(path), "cpu", "fp32", ALONE).warm_up(1)

"""Whole networks with random weights against OpenCV; random small networks against plain NumPy; weights files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from shared.manifest import Interpolation
from tests.zoo.zoo_networks import networks
from tests.zoo.zoo_numpy import forward, layer_outputs
from tests.zoo.zoo_random import layer_values, resized, write_weights
from tests.zoo.zoo_run import assert_same, layer_output, onnx_outputs, opencv_outputs, pictures
from zoo import darknet
from zoo.errors import CfgError, WeightsError
from zoo.topologies import TOPOLOGIES

CFG = """[net]\nwidth=16\nheight=16\n[convolutional]\nfilters=6\nbatch_normalize=1\nactivation=leaky
[yolo]\nclasses=1\nanchors=3,4\n"""


@pytest.mark.parametrize("size", [(160, 96), (96, 96)], ids=["wide", "square"])
def test_whole_network_equals_opencv(size: tuple[int, int], tmp_path: Path) -> None:
    """The others: test_zoo_topologies.py."""
    cfg = resized(TOPOLOGIES["yolov3-tiny"](), *size)
    weights = write_weights(tmp_path / "w.weights", layer_values(cfg))
    images = pictures(1, *size)
    found = onnx_outputs(cfg, weights, images)
    assert np.ptp(found[1]) > 0.2, "the random network must say something"
    assert_same(found, opencv_outputs(cfg, weights, images))


@settings(max_examples=150, deadline=None)
@given(cfg=networks(), seed=st.integers(0, 1000), batch=st.integers(1, 3))
def test_random_network_equals_numpy(cfg: str, seed: int, batch: int) -> None:
    values = layer_values(cfg, seed)
    options = dict(line.split("=") for line in cfg.split()[1:3])
    images = pictures(batch, int(options["width"]), int(options["height"]), seed)
    reference = layer_outputs(cfg, values, images)
    with TemporaryDirectory() as folder:
        found = layer_output(cfg, write_weights(Path(folder) / "w.weights", values), images)
    assert found.shape == reference[-1].shape
    loudest = max(np.abs(output).max() for output in reference)  # what float32 is exact relative to
    np.testing.assert_allclose(found, reference[-1], rtol=1e-4, atol=1e-5 * loudest)


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0)])
def test_headers_old_and_new(version: tuple[int, int, int], tmp_path: Path) -> None:
    values = layer_values(CFG)
    images = pictures(1, 16, 16)
    weights = write_weights(tmp_path / "w.weights", values, version)
    assert_same(onnx_outputs(CFG, weights, images), forward(CFG.replace("[yolo]", "[yolo]\nmask=0"), values, images))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.weights", layer_values(CFG))
    data = weights.read_bytes()
    for damaged, reason in (
        (data[:-4], r"too short for this cfg: .* It ends in layer 0, cfg line 4: \[convolutional\]"),
        (data[:20], "too short for this cfg"),
        (data + bytes(8), "too long for this cfg: 2 of"),
        (data[:-3], "cut off or damaged"),
        (data[:16], "cut off or damaged"),
        (data[:5], "too short for a weights file"),
        (b"", "too short for a weights file"),
        (b"<html><body>404 not found</body></html>".ljust(len(data)), "not a usable weights file"),
    ):
        weights.write_bytes(damaged)
        with pytest.raises(WeightsError, match=reason):
            darknet.convert(CFG, weights)
    with pytest.raises(WeightsError, match="No such file"):
        darknet.convert(CFG, tmp_path / "none.weights")


def test_weights_of_another_cfg_show_in_their_variances(tmp_path: Path) -> None:
    values = layer_values(CFG)
    values[0]["variance"] = -values[0]["variance"]
    with pytest.raises(WeightsError, match="they belong to another cfg"):
        darknet.convert(CFG, write_weights(tmp_path / "w.weights", values))


def test_cfgs_that_are_no_detector_are_refused(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.weights", layer_values(CFG))
    for cfg, reason in (
        ("", "does not begin with a"),
        ("[yolo]\n", "does not begin with a"),
        ("width=3\n", "cfg line 1: 'width=3' is neither"),
        ("[net]\nwidth=16\nsomething\n", "cfg line 3: 'something' is neither"),
        ("[net]\nwidth=16\nheight=16\n", "0 layers"),
        (CFG.replace("height=16", ""), "does not say width and height"),
        (CFG.replace("width=16", "width=16\nchannels=1"), "must have channels=3"),
        (CFG.replace("width=16", "width=100000"), "outside 1..8192"),
    ):
        with pytest.raises(CfgError, match=reason):
            darknet.convert(cfg, weights)


def test_blanks_comments_and_repeated_keys(tmp_path: Path) -> None:
    values = layer_values(CFG)
    weights = write_weights(tmp_path / "w.weights", values)
    loose = CFG.replace("[net]", "# a comment\n; another\n\n [ net ] ").replace(
        "filters=6", "filters = 6 # six\nfilters=9"
    )
    assert darknet.convert(loose, weights).model == darknet.convert(CFG, weights).model


def test_the_first_layer_keeps_its_numbers_when_weights_are_rounded_to_bf16(tmp_path: Path) -> None:
    """As a device with bf16 arithmetic does: every constant loses its lower 16 bits, rounded to nearest."""
    cfg = resized(TOPOLOGIES["yolov3-tiny"](), 96, 96)
    model = darknet.convert(cfg, write_weights(tmp_path / "w.weights", layer_values(cfg))).model
    constants = {constant.name: constant for constant in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    exact = numpy_helper.to_array(constants[first.input[1]])
    bits = exact.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    halves = np.split(rounded.astype(np.float64), 2, axis=1)
    wanted = np.add(*np.split(exact.astype(np.float64), 2, axis=1))
    assert np.abs(halves[0] + halves[1] - wanted).max() <= np.abs(wanted).max() * 2.0**-16
    assert np.abs(halves[0] - wanted).max() > np.abs(wanted).max() * 2.0**-12  # one half alone would not do


def test_darknets_own_frames_are_float(tmp_path: Path) -> None:
    cfg = resized(TOPOLOGIES["yolov3-tiny"](), 96, 96)
    weights = write_weights(tmp_path / "w.weights", layer_values(cfg))
    kinds: dict[Interpolation, int] = {"linear": onnx.TensorProto.UINT8, "darknet": onnx.TensorProto.FLOAT}
    for how, kind in kinds.items():
        assert darknet.convert(cfg, weights, how).model.graph.input[0].type.tensor_type.elem_type == kind

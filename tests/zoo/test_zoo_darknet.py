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
from tests.zoo.zoo_numpy import forward
from tests.zoo.zoo_random import layer_values, resized, write_weights
from tests.zoo.zoo_run import assert_same, onnx_outputs, opencv_outputs, pictures
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


@st.composite
def networks(draw: st.DrawFn) -> str:
    """A small cfg of supported layers that fit each other, ending in a head."""
    width, height = draw(st.integers(8, 20)), draw(st.integers(8, 20))
    layers: list[str] = []
    shapes: list[tuple[int, int, int]] = []
    channels, high, wide = 3, height, width
    for _ in range(draw(st.integers(1, 6))):
        same = [at for at, shape in enumerate(shapes) if shape == (channels, high, wide)]
        level = [at for at, shape in enumerate(shapes) if shape[1:] == (high, wide)]
        kinds = ["convolutional", "maxpool"] + ["upsample"] * (max(high, wide) <= 20)
        kinds += ["shortcut"] * bool(same) + ["route"] * bool(level)
        kind = draw(st.sampled_from(kinds))
        if kind == "convolutional":
            channels, size = draw(st.sampled_from([2, 4, 6])), draw(st.sampled_from([1, 3]))
            stride = draw(st.integers(1, 2))
            norm, activation = draw(st.integers(0, 1)), draw(st.sampled_from(["linear", "leaky", "relu", "logistic"]))
            high, wide = ((length - 1) // stride + 1 for length in (high, wide))
            options = f"filters={channels} size={size} stride={stride} pad=1 batch_normalize={norm}"
            layers.append(f"[convolutional] {options} activation={activation}")
        elif kind == "maxpool":
            size, stride = draw(st.integers(1, 4)), draw(st.integers(1, 2))
            high, wide = ((length - 1) // stride + 1 for length in (high, wide))
            layers.append(f"[maxpool] size={size} stride={stride}")
        elif kind == "upsample":
            high, wide = 2 * high, 2 * wide
            layers.append("[upsample] stride=2")
        elif kind == "shortcut":
            layers.append(f"[shortcut] from={draw(st.sampled_from(same))} activation=leaky")
        else:
            sources = draw(st.lists(st.sampled_from(level), min_size=1, max_size=3))
            groups = draw(st.sampled_from([1, 2])) if all(shapes[at][0] % 2 == 0 for at in sources) else 1
            channels = sum(shapes[at][0] for at in sources) // groups
            group = draw(st.integers(0, groups - 1))
            layers.append(f"[route] layers={','.join(map(str, sources))} groups={groups} group_id={group}")
        shapes.append((channels, high, wide))
    head = "[convolutional] filters=14 activation=linear [yolo] mask=0,1 anchors=4,6,9,7 num=2 classes=2"
    return "\n".join(f"[net] width={width} height={height} {' '.join(layers)} {head}".split())


@settings(max_examples=40, deadline=None)
@given(cfg=networks(), seed=st.integers(0, 1000), batch=st.integers(1, 3))
def test_random_network_equals_numpy(cfg: str, seed: int, batch: int) -> None:
    values = layer_values(cfg, seed)
    options = dict(line.split("=") for line in cfg.split()[1:3])
    images = pictures(batch, int(options["width"]), int(options["height"]), seed)
    with TemporaryDirectory() as folder:
        weights = write_weights(Path(folder) / "w.weights", values)
        assert_same(onnx_outputs(cfg, weights, images), forward(cfg, values, images))


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
        (data[:-4], "too short for this cfg"),
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

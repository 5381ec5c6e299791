"""The cfg reader's laws; whatever stands in a cfg or a weights file, conversion ends in a model or in our errors."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo import cfg as syntax
from zoo import darknet
from zoo.errors import CfgError, WeightsError
from zoo.layers import LAYERS, REFUSED
from zoo.layers.activations import ACTIVATIONS
from zoo.weights import Weights

NAMES = st.text("abcxyz_0189", min_size=1, max_size=8)
SECTIONS = st.lists(st.tuples(NAMES, st.dictionaries(NAMES, NAMES, max_size=4)), min_size=1, max_size=5)
NOISE = st.sampled_from(["", " ", "\t", "\n", "\r\n", "\n# a = comment\n", "\n;\n"])


@given(layers=SECTIONS, data=st.data())
def test_what_was_written_is_read(layers: list[tuple[str, dict[str, str]]], data: st.DataObject) -> None:
    wanted = [("net", {"width": "8"}), *layers]
    text = ""
    for kind, options in wanted:
        text += f"[{kind}]\n" + data.draw(NOISE)
        for key, value in options.items():
            text += f" {key} \t= {value} \n" + data.draw(NOISE)
    found = syntax.parse(data.draw(st.sampled_from(["", "\ufeff"])) + text)
    assert [(section.kind, section.options) for section in found] == wanted
    lines = text.splitlines()
    assert all(lines[section.line - 1].strip() == f"[{section.kind}]" for section in found)


@given(text=st.text() | st.text("[]=#;\nnet,1-. "))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(CfgError):
        assert syntax.parse(text)[0].kind == "net"


def test_short_names_are_those_of_darknet() -> None:
    found = syntax.parse("[network]\n[conv]\n[max]\n[avg]\n[local_avg]\n[conn]\n[silence]\n[soft]\n[lrn]\n[deconv]\n")
    long = "net convolutional maxpool avgpool local_avgpool connected empty softmax normalization deconvolutional"
    assert [section.kind for section in found] == long.split()


def test_unread_options_are_told() -> None:
    (_, section) = syntax.parse("[net]\n[x]\na=1\nb=2\nc=3\nd=4,5\ne=x\nf=7\n")
    section.number("a", 0)
    section.real("b", 0)
    section.numbers("d")
    section.word("e", "")
    assert section.unread() == ["c", "f"]
    section.reals("c")
    assert section.unread() == ["f"]


@given(data=st.binary(max_size=60))
def test_any_bytes_are_weights_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.weights"
    path.write_bytes(data)
    try:
        weights = Weights(path)
    except WeightsError:
        return
    count = (len(data) - 16) // 4
    with pytest.raises(WeightsError, match="too short for this cfg"):
        weights.take(count + 2)


INDICES = st.sampled_from(["-1", "-2", "0", "-1,-2", "0,-1,-1"])
WORDS: dict[str, st.SearchStrategy[str]] = {
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "from": INDICES,
    "layers": INDICES,
    "weights_type": st.sampled_from(["none", "per_feature", "per_layer", "per_channel", "else"]),
    "weights_normalization": st.sampled_from(["none", "relu", "avg_relu", "softmax", "else"]),
    "anchors": st.sampled_from(["1,2", "1,2,3,4", "1"]),
}
OPTIONS = {
    "convolutional": "filters size stride stride_x pad padding groups dilation antialiasing share_index flipped"
    " activation batch_normalize",
    "connected": "output activation batch_normalize",
    "maxpool": "size stride stride_y padding maxpool_depth out_channels antialiasing",
    "local_avgpool": "size stride padding",
    "upsample": "stride scale",
    "reorg": "stride reverse flatten extra",
    "reorg3d": "stride reverse",
    "route": "layers groups group_id",
    "shortcut": "from activation weights_type weights_normalization alpha beta",
    "sam": "from activation",
    "scale_channels": "from scale_wh",
    "implicit": "filters atoms",
    "activation": "activation",
    "yolo": "classes anchors num mask new_coords scale_x_y",
    "region": "classes anchors num coords softmax background",
}
NEEDED = {
    "route": {"layers": "-1"},
    "shortcut": {"from": "-1"},
    "sam": {"from": "-1"},
    "scale_channels": {"from": "-1"},
}
NUMBERS = st.integers(0, 4).map(str) | st.sampled_from(["1", "2", "-1", "-2", "9", "1048576", "0.5", "1e9", "", "x"])


@st.composite
def a_layer(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A layer with some of its options: most values fit, some do not, and some options are of other layers."""
    kind = draw(st.sampled_from([*LAYERS, *LAYERS, *LAYERS, *REFUSED]))
    other = draw(st.sampled_from([kind] * 20 + sorted(OPTIONS)))
    keys = draw(st.lists(st.sampled_from(OPTIONS.get(other, "activation").split()), max_size=3 * (other in OPTIONS)))
    return kind, NEEDED.get(kind, {}) | {key: draw(WORDS.get(key, NUMBERS)) for key in keys}


def written(path: Path, values: int) -> Path:
    """A weights file of the old format with that many zeros."""
    with path.open("wb") as file:
        file.truncate(16 + 4 * values)
    return path


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers=st.lists(a_layer(), min_size=1, max_size=5))
def test_any_cfg_is_converted_or_refused(
    layers: list[tuple[str, dict[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    weights = written(tmp_path_factory.getbasetemp() / "zeros.weights", 1_000_000)
    text = "[net]\nwidth=12\nheight=8\n"
    for kind, options in [*layers, ("convolutional", {"filters": "6"}), ("yolo", {"classes": "1", "anchors": "3,4"})]:
        text += "\n".join([f"[{kind}]", *(f"{key}={value}" for key, value in options.items()), ""])
    with pytest.raises((CfgError, WeightsError)) as caught:
        darknet.convert(text, weights)
    reason = str(caught.value)
    assert reason.startswith(("cfg line ", "The cfg ", "The detection heads ", "zeros.weights ")), reason
    if left := re.search(r"too long for this cfg: (\d+) of", reason):
        written(weights, 1_000_000 - int(left[1]))
        onnx.checker.check_model(darknet.convert(text, weights).model, full_check=True)


def test_the_same_cfg_gives_the_same_bytes(tmp_path: Path) -> None:
    cfg = "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=6\n[yolo]\nclasses=1\nanchors=3,4\n"
    (tmp_path / "w").write_bytes(bytes(16 + 4 * 6 * 4))
    models = [darknet.convert(cfg, tmp_path / "w").model for _ in range(2)]
    assert models[0].SerializeToString(deterministic=True) == models[1].SerializeToString(deterministic=True)

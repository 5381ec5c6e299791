"""Each darknet layer against OpenCV's importer, with random weights; and what is refused, with its line.

Against both forks of darknet: tests/reference/test_layers.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.zoo import zoo_cases
from tests.zoo.zoo_numpy import forward, layer_outputs
from tests.zoo.zoo_random import layer_values, write_weights
from tests.zoo.zoo_run import assert_close, assert_same, layer_output, onnx_outputs, opencv_outputs, pictures
from zoo import darknet, heads, layers
from zoo.errors import CfgError
from zoo.layers import activations

CONV = "[convolutional] filters=8 size=3 stride=1 pad=1 batch_normalize=1 activation=leaky"
HEAD = (
    "[convolutional] filters=16 size=1 stride=1 pad=1 activation=linear "
    "[yolo] mask=1,2 anchors=4,6,9,7,13,20 num=3 classes=3"
)


def network(*layers: str, width: int = 40, height: int = 28, head: str = HEAD) -> str:
    return "\n".join(f"[net] width={width} height={height} channels=3 {' '.join(layers)} {head}".split())


LAYERS = {
    "conv 1x1": [CONV.replace("size=3", "size=1")],
    "conv 5x5": [CONV.replace("size=3", "size=5")],
    "conv even size": [CONV.replace("size=3", "size=4")],
    "conv stride 2": [CONV.replace("stride=1", "stride=2")],
    "conv stride 3, padding 2": [CONV.replace("stride=1", "stride=3").replace("pad=1", "padding=2")],
    "conv without padding": [CONV.replace("pad=1", "pad=0")],
    "conv without batch norm": [CONV.replace("batch_normalize=1", "batch_normalize=0")],
    "conv in groups": [CONV, CONV.replace("pad=1", "pad=1 groups=4")],
    "conv depthwise": [CONV, CONV.replace("pad=1", "pad=1 groups=8")],
    "relu": [CONV.replace("leaky", "relu")],
    "logistic": [CONV.replace("leaky", "logistic")],
    "linear": [CONV.replace("leaky", "linear")],
    "tanh": [CONV.replace("leaky", "tanh")],
    "swish": [CONV.replace("leaky", "swish")],
    "mish": [CONV.replace("leaky", "mish")],
    "maxpool 2/2": [CONV, "[maxpool] size=2 stride=2"],
    "maxpool 2/1": [CONV, "[maxpool] size=2 stride=1"],
    "maxpool 3/2": [CONV, "[maxpool] size=3 stride=2"],
    "maxpool 3/1": [CONV, "[maxpool] size=3 stride=1"],
    "maxpool 13/1": [CONV, "[maxpool] size=13 stride=1"],
    "upsample 2": [CONV, "[upsample] stride=2"],
    "upsample 3": [CONV, "[upsample] stride=3"],
    "route back": [CONV, CONV, "[route] layers=-2"],
    "route from the first": [CONV, CONV, "[route] layers=0"],
    "route of three": [CONV, CONV.replace("filters=8", "filters=4"), CONV, "[route] layers=-1,-2,0"],
    "route group": [CONV, "[route] layers=-1 groups=2 group_id=1"],
    "shortcut": [CONV, CONV, "[shortcut] from=-2 activation=linear"],
    "shortcut leaky": [CONV, CONV, "[shortcut] from=-2 activation=leaky"],
    "shortcut mish": [CONV, CONV, "[shortcut] from=-2 activation=mish"],
    "shortcut, fewer channels": [CONV.replace("filters=8", "filters=4"), CONV, "[shortcut] from=-2 activation=linear"],
    "shortcut, more channels": [CONV.replace("filters=8", "filters=9"), CONV, "[shortcut] from=-2 activation=linear"],
    "sam": [CONV, CONV, "[sam] from=-2"],
    "squeeze and excite": [
        CONV,
        "[avgpool]",
        "[convolutional] filters=3 size=1 activation=swish",
        "[convolutional] filters=8 size=1 activation=logistic",
        "[scale_channels] from=0",
    ],
    "dropout": [CONV, "[dropout] probability=0.5", CONV],
    "reorg": [CONV.replace("stride=1", "stride=2"), "[upsample] stride=2", "[reorg] stride=2"],
}


@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("size", [(40, 28), (37, 31)], ids=["even", "odd"])
def test_layer_equals_opencv(case: list[str], size: tuple[int, int], tmp_path: Path) -> None:
    cfg = network(*case, width=size[0], height=size[1])
    weights = write_weights(tmp_path / "w.weights", layer_values(cfg))
    images = pictures(2, *size)
    assert_same(onnx_outputs(cfg, weights, images), opencv_outputs(cfg, weights, images))


# What OpenCV reads otherwise or not at all: darknet's C, in NumPy, is the reference.
ONLY_DARKNET = {
    "maxpool with padding": [CONV, "[maxpool] size=3 stride=2 padding=1"],
    "maxpool without padding": [CONV, "[maxpool] size=3 stride=2 padding=0"],
    "maxpool that skips": [CONV, "[maxpool] size=2 stride=3"],
    "maxpool of one": [CONV, "[maxpool] size=1 stride=2"],
    "route groups of two layers": [CONV, CONV, "[route] layers=-1,-2 groups=2 group_id=0"],
    "default activation": [CONV.replace("activation=leaky", "")],
}


@pytest.mark.parametrize("case", ONLY_DARKNET.values(), ids=ONLY_DARKNET.keys())
def test_layer_equals_darknet_arithmetic(case: list[str], tmp_path: Path) -> None:
    for width, height in ((20, 14), (19, 15)):
        cfg = network(*case, width=width, height=height)
        values = layer_values(cfg)
        images = pictures(2, width, height)
        weights = write_weights(tmp_path / "w.weights", values)
        assert_same(onnx_outputs(cfg, weights, images), forward(cfg, values, images))


@pytest.mark.parametrize("name", zoo_cases.UNKNOWN)
def test_layer_that_no_fork_runs_equals_numpy(name: str, tmp_path: Path) -> None:
    cfg = zoo_cases.network(*zoo_cases.UNKNOWN[name])
    values = zoo_cases.values(name, cfg)
    images = pictures(2, zoo_cases.WIDTH, zoo_cases.HEIGHT)
    found = layer_output(cfg, zoo_cases.weights_file(name, values, tmp_path), images)
    assert_close(found, layer_outputs(cfg, values, images)[-1])


def test_every_layer_has_a_case_with_each_fork_that_knows_it() -> None:
    kinds = {text.split()[0].strip("[]") for case in zoo_cases.ALEXEYAB.values() for text in case}
    assert kinds == set(layers.LAYERS) - set(heads.HEADS) - {"cost", "contrastive"}
    named = {name.removeprefix("activation ") for name in (*zoo_cases.ALEXEYAB, *zoo_cases.UNKNOWN)}
    assert named >= set(activations.ACTIVATIONS)


def test_a_layer_may_share_the_weights_of_the_first(tmp_path: Path) -> None:
    first = CONV.replace("filters=8", "filters=3")
    cfg = network(first, first, f"{first} share_index=0")
    values = layer_values(cfg)
    images = pictures(2, 40, 28)
    weights = write_weights(tmp_path / "w.weights", values)
    assert_same(onnx_outputs(cfg, weights, images), forward(cfg, values, images))


def test_options_of_training_are_ignored(tmp_path: Path) -> None:
    cfg = network(CONV, "[dropout]", CONV)
    weights = write_weights(tmp_path / "w.weights", layer_values(cfg))
    options = "stopbackward=1 learning_rate=3 assisted_excitation=4000 angle=30 sway=1 stream=1"
    extra = cfg.replace("[convolutional]", f"[convolutional]\n{options}".replace(" ", "\n"), 1)
    extra = extra.replace("[dropout]", "[dropout]\ndropblock=1\nprobability=0.9\nonlyforward=1")
    extra += "\n[cost]\ntype=sse\n[route]\nlayers=0\n[contrastive]\nyolo_layer=-3\nclasses=3"
    assert darknet.convert(extra, weights).model == darknet.convert(cfg, weights).model


def test_scaled_upsample(tmp_path: Path) -> None:
    plain = network(CONV, "[upsample] stride=2", CONV.replace("leaky", "linear").replace("batch_normalize=1", ""))
    values = layer_values(plain)
    doubled = [dict(layer) for layer in values]
    doubled[2]["kernel"] = doubled[2]["kernel"] * np.float32(2)
    images = pictures(1, 40, 28)
    expected = onnx_outputs(plain, write_weights(tmp_path / "a.weights", doubled), images)
    scaled = plain.replace("[upsample]\nstride=2", "[upsample]\nstride=2\nscale=2")
    assert_same(onnx_outputs(scaled, write_weights(tmp_path / "b.weights", values), images), expected)


def test_several_heads_and_stretched_centres(tmp_path: Path) -> None:
    second = HEAD.replace("mask=1,2", "mask=0,2 scale_x_y=1.2")
    cfg = network(CONV, CONV.replace("stride=1", "stride=2"), HEAD, "[route] layers=0", head=second)
    values = layer_values(cfg)
    weights = write_weights(tmp_path / "w.weights", values)
    images = pictures(3, 40, 28)
    found = onnx_outputs(cfg, weights, images)
    assert found[0].shape == (3, 2 * (20 * 14 + 40 * 28), 4)
    assert_same(found, forward(cfg, values, images))
    assert_same(found, opencv_outputs(cfg, weights, images))


REFUSED = {
    "[nonsense]": "[nonsense] is not a supported layer: supported are activation, avgpool,",
    "[lstm]": "[lstm] is not a supported layer: it remembers earlier frames",
    "[conv_lstm]": "[conv_lstm] is not a supported layer: it remembers earlier frames",
    "[detection]": "[detection] is not a supported layer: it is the head of YOLOv1",
    "[softmax]": "[softmax] is not a supported layer: it is the end of a classifier",
    "[convolutional]\nactivation=normalize_channels": "activation=normalize_channels is not supported; supported are",
    "[convolutional]\nxnor=1": "xnor=1 is not supported: binary weights and inputs",
    "[convolutional]\nbinary=1": "binary=1 is not supported: binary weights",
    "[convolutional]\ndontload=1": "dontload=1 is not supported: a layer without trained weights",
    "[convolutional]\ncoordconv=1": "coordconv=1 is not supported: darknet computes it on GPUs alone",
    "[convolutional]\nmomentum_like=3": "momentum_like= is not a known option",
    "[convolutional]\nfilters=x": "filters=x is not a whole number",
    "[convolutional]\nfilters=0": "filters=0 is outside",
    "[convolutional]\nsize=99": "leaves nothing",
    "[convolutional]\nfilters=8\ngroups=2": "groups=2 does not divide",
    "[convolutional]\nsize=3\ndilation=2": "dilation=2 needs padding=1",
    "[convolutional]\nsize=2\npad=1\ndilation=2": "dilation=2 needs padding=0.5",
    "[convolutional]\nshare_index=-1": "share_index=-1 is no convolution of the same shape",
    "[convolutional]\nshare_index=7": "refers to layer 7",
    "[connected]\nactivation=mish": "activation=mish gives zeros in this layer of darknet",
    "[activation]\nactivation=swish": "activation=swish gives zeros in this layer of darknet",
    "[maxpool]\nsize=99\npadding=0": "leaves nothing",
    "[maxpool]\nsize=2\npadding=8": "padding=8 is too large",
    "[maxpool]\nmaxpool_depth=1\nout_channels=4": "out_channels=4 is more than the 3 channels",
    "[maxpool]\nmaxpool_depth=1\nantialiasing=1": "exclude each other",
    "[maxpool]\nmaxpool_zero_nonmax=1": "maxpool_zero_nonmax=1 is not supported",
    "[local_avgpool]\nsize=99\npadding=0": "leaves nothing",
    "[route]\nlayers=-5": "refers to layer -5",
    "[route]\nlayers=7": "refers to layer 7",
    "[route]\nstride=2": "names no layers",
    "[route]\nlayers=-1\ngroups=2": "does not divide",
    "[shortcut]\nactivation=linear": "names no layers",
    "[shortcut]\nfrom=-1\nweights_type=per_pixel": "weights_type=per_pixel is not one of none,",
    "[shortcut]\nfrom=-1\nweights_type=per_channel\nweights_normalization=l2": "weights_normalization=l2 is not one of",
    "[shortcut]\nfrom=-1,-1\nalpha=2": "takes alpha and beta for one layer",
    "[shortcut]\nfrom=-1\nactivation=hard_mish": "activation=hard_mish gives zeros",
    "[sam]\nfrom=-1,-1": "exactly one layer",
    "[scale_channels]\nfrom=-1": "needs an input of shape (3, 1, 1), not (3, 32, 32)",
    "[upsample]\nstride=0": "stride=0 leaves nothing",
    "[upsample]\nstride=-3": "stride=3 does not divide",
    "[upsample]\nscale=big": "not a list of numbers",
    "[upsample]\nscale=nan": "not a list of finite numbers",
    "[upsample]\nscale=1,2": "scale takes one number",
    "[reorg]\nstride=2": "needs a multiple of 4 channels",
    "[reorg]\nextra=5": "extra= is not supported",
    "[reorg3d]\nstride=3": "stride=3 does not divide",
    "[reorg3d]\nstride=2\nreverse=1": "needs a multiple of 16 channels",
}


@pytest.mark.parametrize(("layer", "reason"), REFUSED.items())
def test_refused_layer_is_named_with_its_line(layer: str, reason: str, tmp_path: Path) -> None:
    cfg = f"[net]\nwidth=32\nheight=32\n\n# the layer:\n[maxpool]\nsize=2\n\n{layer}\n"
    (tmp_path / "w.weights").write_bytes(bytes(4 * 100_000))
    with pytest.raises(CfgError) as caught:
        darknet.convert(cfg, tmp_path / "w.weights")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("cfg line 9: ")


def test_layers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.weights").write_bytes(bytes(4 * 100_000))
    for text, reason in (
        (f"{CONV} [maxpool] size=2 stride=2 [route] layers=-1,-2", "joins layers of different sizes"),
        (f"{CONV} [maxpool] size=2 stride=2 [shortcut] from=-2,-1", "joins layers of different sizes"),
        (f"{CONV} [maxpool] stride_x=2 [shortcut] from=-2", "heights and widths differ by different factors"),
        (f"{CONV} {CONV} {CONV} share_index=0", "share_index=0 is no convolution of the same shape"),
        (f"{CONV} {CONV} [sam] from=-2 [maxpool] size=2 stride=2 [sam] from=0", "of different shapes"),
        (f"{CONV.replace('stride=1', 'stride=2 antialiasing=1')} {CONV} [route] layers=0", "whose antialiased output"),
        (f"{HEAD} [route] layers=-1", "which is a detection head"),
        (f"{CONV} [cost] type=sse [route] layers=-1", "which gives something in training alone"),
        (f"{CONV}", "no detection head"),
        ("[upsample] stride=64 [upsample] stride=64", "gives 3 x 114688 x 163840 values: more than can be run"),
        (
            f"{HEAD} [route] layers=-2 {HEAD.replace('classes=3', 'classes=2').replace('=16', '=14')}",
            "different numbers",
        ),
    ):
        with pytest.raises(CfgError, match=reason):
            darknet.convert(network(text, head=""), tmp_path / "w.weights")

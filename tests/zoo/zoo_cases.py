"""One small network for each darknet layer and each of its forms: what the references are asked about.

A case is the layers of a cfg; its last layer is compared. `ALEXEYAB` and `ORIGINAL` name the forks that know it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.zoo.zoo_random import Values, layer_values, write_weights

WIDTH, HEIGHT = 8, 6

CONV = "[convolutional] filters=4 size=3 stride=1 pad=1 batch_normalize=1 activation=leaky"
WIDE = CONV.replace("filters=4", "filters=8")
HALF = CONV.replace("stride=1", "stride=2")
PLAIN = "[convolutional] filters=4 size=3 stride=1 pad=1 activation=linear"
LOUD = [PLAIN, "[upsample] stride=1 scale=8"]  # values of about -10 to 10, for activations


def _activations(*names: str) -> dict[str, list[str]]:
    return {f"activation {name}": [*LOUD, f"[convolutional] filters=4 size=1 activation={name}"] for name in names}


BOTH: dict[str, list[str]] = {
    "conv": [CONV],
    "conv 1x1": [CONV.replace("size=3", "size=1")],
    "conv 5x5": [CONV.replace("size=3", "size=5")],
    "conv even size": [CONV.replace("size=3", "size=4")],
    "conv stride 2": [HALF],
    "conv stride 3, padding 2": [CONV.replace("stride=1", "stride=3").replace("pad=1", "padding=2")],
    "conv without padding": [CONV.replace("pad=1", "pad=0")],
    "conv without batch norm": [PLAIN],
    "conv default activation": [CONV.replace("activation=leaky", "")],
    "conv flipped": [CONV, f"{CONV} flipped=1"],
    "conv in groups": [WIDE, CONV.replace("pad=1", "pad=1 groups=2")],
    "conv depthwise": [CONV, CONV.replace("pad=1", "pad=1 groups=4")],
    **_activations("linear", "logistic", "loggy", "relu", "elu", "selu", "relie", "ramp", "leaky", "tanh", "plse"),
    **_activations("stair", "hardtan", "lhtan"),
    "activation layer": [*LOUD, "[activation] activation=elu"],
    "connected": [HALF, "[connected] output=9 activation=relu"],
    "connected, batch norm": [HALF, "[connected] output=9 batch_normalize=1 activation=leaky"],
    "maxpool 2/2": [CONV, "[maxpool] size=2 stride=2"],
    "maxpool 2/1": [CONV, "[maxpool] size=2 stride=1"],
    "maxpool 3/2": [CONV, "[maxpool] size=3 stride=2"],
    "maxpool 3/1": [CONV, "[maxpool] size=3 stride=1"],
    "maxpool 5/1": [CONV, "[maxpool] size=5 stride=1"],
    "maxpool padding 1": [CONV, "[maxpool] size=3 stride=2 padding=1"],
    "maxpool padding 0": [CONV, "[maxpool] size=3 stride=2 padding=0"],
    "maxpool that skips": [CONV, "[maxpool] size=2 stride=3"],
    "avgpool": [CONV, "[avgpool]"],
    "upsample": [CONV, "[upsample] stride=2 scale=0.5"],
    "downsample": [CONV, "[upsample] stride=-2 scale=3"],
    "route back": [CONV, WIDE, "[route] layers=-2"],
    "route of three": [CONV, WIDE, CONV, "[route] layers=-1,-2,0"],
    "shortcut": [CONV, CONV, "[shortcut] from=-2 activation=leaky"],
    "shortcut, fewer channels": [CONV, WIDE, "[shortcut] from=-2 activation=linear"],
    "shortcut, more channels": [WIDE, CONV, "[shortcut] from=-2 activation=linear"],
    "reorg": [CONV, "[reorg] stride=2"],
    "reorg reverse": [WIDE, "[reorg] stride=2 reverse=1"],
    "dropout": [CONV, "[dropout] probability=0.5", CONV],
}

ALEXEYAB: dict[str, list[str]] = BOTH | {
    **_activations("gelu", "swish", "mish", "hard_mish", "revleaky"),
    "conv stride_x": [CONV.replace("stride=1", "stride_x=2 stride_y=1")],
    "conv stride_y": [CONV.replace("stride=1", "stride_y=3 stride_x=2")],
    "conv dilation": [CONV, CONV.replace("pad=1", "pad=1 dilation=2")],
    "conv dilation, 1x1": [CONV.replace("size=3", "size=1 dilation=3")],
    "conv 1x1, stride 2": [CONV, HALF.replace("size=3", "size=1")],
    "conv cbn": [CONV.replace("batch_normalize=1", "cbn=1")],
    "conv antialiasing": [HALF.replace("pad=1", "pad=1 antialiasing=1")],
    "conv antialiasing 2": [HALF.replace("pad=1", "pad=1 antialiasing=2")],
    "conv antialiasing, odd": [CONV.replace("pad=1", "pad=0"), HALF.replace("pad=1", "pad=1 antialiasing=1"), CONV],
    "conv share_index": [CONV, CONV, f"{CONV} share_index=1"],
    "conv share_index, back": [CONV, CONV, CONV, f"{CONV.replace('leaky', 'linear')} share_index=-2"],
    "batchnorm": [PLAIN, "[batchnorm]"],
    "conv small variances": [CONV, CONV],
    "maxpool stride_x": [CONV, "[maxpool] size=3 stride_x=1 stride_y=2"],
    "maxpool_depth": [WIDE, "[maxpool] maxpool_depth=1 out_channels=4 stride=1 size=1"],
    "maxpool_depth, uneven": [WIDE, "[maxpool] maxpool_depth=1 out_channels=3 stride=1 size=1"],
    "maxpool antialiasing": [CONV, "[maxpool] size=2 stride=2 antialiasing=1"],
    "maxpool antialiasing 2": [CONV, "[maxpool] size=3 stride=2 antialiasing=2"],
    "local_avgpool 2/2": [CONV, "[local_avgpool] size=2 stride=2"],
    "local_avgpool 3/1": [CONV, "[local_avgpool] size=3 stride=1"],
    "local_avgpool stride_y": [CONV, "[local_avgpool] size=3 stride_x=1 stride_y=2"],
    "route groups": [WIDE, "[route] layers=-1 groups=4 group_id=2"],
    "route groups of two layers": [CONV, WIDE, "[route] layers=-1,-2 groups=2 group_id=1"],
    "shortcut of three": [CONV, CONV, CONV, "[shortcut] from=-2,-3 activation=linear"],
    "shortcut of three, uneven": [WIDE, CONV, CONV, "[shortcut] from=0,-2 activation=relu"],
    "shortcut swish": [CONV, CONV, "[shortcut] from=-2 activation=swish"],
    "shortcut mish": [CONV, CONV, "[shortcut] from=-2 activation=mish"],
    **{
        f"shortcut {kind}, {how}": [
            CONV,
            CONV,
            CONV,
            f"[shortcut] from=-2,-3 weights_type={kind} weights_normalization={how} activation=linear",
        ]
        for kind in ("per_feature", "per_channel")
        for how in ("relu", "softmax")
    },
    **{
        f"shortcut {how}, weights near zero": [
            CONV,
            CONV,
            f"[shortcut] from=-2 weights_type=per_channel weights_normalization={how} activation=linear",
        ]
        for how in ("relu", "softmax")
    },
    "shortcut per_channel, uneven": [
        WIDE,
        CONV,
        "[shortcut] from=-2 weights_type=per_channel weights_normalization=softmax activation=linear",
    ],
    "sam": [CONV, CONV, "[sam] from=-2 activation=logistic"],
    "scale_channels": [CONV, "[avgpool]", "[scale_channels] from=-2 activation=relu"],
    "scale_channels, squeeze": [
        CONV,
        "[avgpool]",
        "[convolutional] filters=2 size=1 activation=swish",
        "[convolutional] filters=4 size=1 activation=logistic",
        "[scale_channels] from=0",
        CONV,
    ],
    "scale_channels scale_wh": [
        CONV,
        "[convolutional] filters=1 size=1 activation=logistic",
        "[scale_channels] from=0 scale_wh=1",
    ],
    "implicit": [CONV, "[implicit] filters=4 atoms=2", CONV.replace("size=3", "size=1")],
    "implicit times": [CONV, "[implicit] filters=4", "[scale_channels] from=-2 activation=linear"],
    "reorg3d": [CONV, "[reorg3d] stride=2"],
    "reorg3d reverse": [CONV.replace("filters=4", "filters=16"), "[reorg3d] stride=2 reverse=1"],
    "empty": [CONV, "[empty]", CONV],
}

ORIGINAL: dict[str, list[str]] = BOTH | {
    "shortcut alpha beta": [CONV, CONV, "[shortcut] from=-2 alpha=0.5 beta=-2 activation=leaky"],
    "shortcut alpha, fewer channels": [CONV, WIDE, "[shortcut] from=-2 alpha=0.5 activation=linear"],
    "shortcut of a larger layer": [WIDE, HALF, "[shortcut] from=-2 activation=linear"],
    "shortcut of a smaller layer": [HALF, "[upsample] stride=2", CONV, "[shortcut] from=0 alpha=2 activation=linear"],
    "shortcut of a shorter layer": [CONV.replace("pad=1", "pad=0"), "[route] layers=-1", "[shortcut] from=0"],
    "connected, transposed": [HALF, "[connected] output=9 activation=relu"],
    "reorg flatten": [CONV, "[reorg] stride=1 flatten=1"],
    "reorg flatten reverse": [CONV, "[reorg] stride=2 flatten=1 reverse=1"],
}

UNKNOWN: dict[str, list[str]] = {
    **_activations("relu6"),  # AlexeyAB's CPU code gives zeros
    "shortcut per_feature": [CONV, CONV, "[shortcut] from=-2 weights_type=per_feature activation=linear"],
    "shortcut per_channel": [CONV, CONV, "[shortcut] from=-2,-1 weights_type=per_channel activation=linear"],
}
"""What no fork computes here: AlexeyAB's today refuses weights without normalisation by a mistake in its parser."""


VERSIONS = {"connected, transposed": (0, 1001, 0)}
"""Of weights files that have another than (0, 2, 0)."""


def network(*layers: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The cfg of a case."""
    return "\n".join(f"[net] width={width} height={height} channels=3 {' '.join(layers)}".split())


def weights_file(name: str, made: Values, folder: Path) -> Path:
    """The weights file of a case."""
    return write_weights(folder / "net.weights", made, VERSIONS.get(name, (0, 2, 0)))


def values(name: str, cfg: str) -> Values:
    """Random values of its weights file; the same for each call."""
    made = layer_values(cfg, seed=len(name))
    if name == "conv small variances":
        for layer in made:  # as trained networks have them for filters that never fire: the epsilon counts
            layer["variance"] = np.geomspace(1e-8, 1e-2, len(layer["variance"]), dtype=np.float32)
            layer["scale"] *= np.float32(0.02)
    if name == "shortcut relu, weights near zero":  # what is added to their sum counts
        made[-1]["weights"] *= np.float32(0.002)
    if name == "shortcut softmax, weights near zero":
        made[-1]["weights"] -= np.float32(10)
    return made

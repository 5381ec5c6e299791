"""Darknet layers -> ONNX nodes. A new layer is a function and a line in `LAYERS`; heads are in `zoo/heads/`.

An emitter reads its options from the cfg section, its values from the weights (in darknet's file order), appends nodes
and returns its output tensor; None for a head. Names, defaults and paddings are those of darknet's `parser.c`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from zoo import heads
from zoo.cfg import Section
from zoo.errors import WeightsError
from zoo.graph import Tensor
from zoo.layers import convolutional, joining, options, pooling, reshaping
from zoo.network import Network

Emitter = Callable[[Network, Section], Tensor | None]

LAYERS: dict[str, Emitter] = {
    "convolutional": convolutional.convolutional,
    "connected": convolutional.connected,
    "batchnorm": convolutional.batchnorm,
    "maxpool": pooling.maxpool,
    "local_avgpool": pooling.local_avgpool,
    "avgpool": pooling.avgpool,
    "route": joining.route,
    "shortcut": joining.shortcut,
    "sam": joining.sam,
    "scale_channels": joining.scale_channels,
    "implicit": joining.implicit,
    "upsample": reshaping.upsample,
    "reorg": reshaping.reorg,
    "reorg3d": reshaping.reorg3d,
    "activation": reshaping.activation,
    "dropout": reshaping.passed_on,
    "empty": reshaping.passed_on,
    "cost": reshaping.compared,
    "contrastive": reshaping.compared,
    **heads.HEADS,
}

_MEMORY = "it remembers earlier frames, and the pictures of a job have no order"
_NO_DETECTOR = "no detector with boxes and scores has it"

MAX_VALUES = 1 << 28
"""Of one layer for one frame: 1 GB."""

REFUSED: dict[str, str] = {
    "crnn": _MEMORY,
    "rnn": _MEMORY,
    "gru": _MEMORY,
    "lstm": _MEMORY,
    "conv_lstm": _MEMORY,
    "history": _MEMORY,
    "detection": "it is the head of YOLOv1, whose networks are not converted",
    "local": "it is a layer of YOLOv1, whose networks are not converted",
    "crop": "it is a layer of YOLOv1 and of classifiers, which are not converted",
    "softmax": "it is the end of a classifier",
    "normalization": "it is a layer of classifiers, which are not converted",
    "deconvolutional": _NO_DETECTOR,
    "iseg": "it gives masks, not boxes",
    "l2norm": _NO_DETECTOR,
    "logistic": _NO_DETECTOR,
}
"""Layers that darknet knows and that are not converted: why."""


def emit(net: Network, section: Section) -> None:
    """Append one layer to the network.

    Raises:
        CfgError: the layer or one of its options is not supported, or does not fit the layers before.
        WeightsError: the weights file ends before this layer's values.
    """
    emitter = LAYERS.get(section.kind)
    if emitter is None:
        reason = REFUSED.get(section.kind, f"supported are {', '.join(sorted(LAYERS))}")
        raise section.error(f"is not a supported layer: {reason}")
    try:
        output = emitter(net, section)
    except WeightsError as error:
        place = f"It ends in layer {len(net.outputs)}, cfg line {section.line}: [{section.kind}]."
        raise WeightsError(f"{error} {place}") from None
    options.check(section)
    if output is not None and math.prod(output.shape) > MAX_VALUES:
        raise section.error(f"gives {output.channels} x {output.height} x {output.width} values: more than can be run")
    net.outputs.append(output)
    if output is not None:
        net.current = output

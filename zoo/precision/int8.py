"""A model and frames of typical pictures -> the same model with its convolutions in int8 (QDQ). The only module of the
zoo that runs a model, and so the only one that may import ONNX Runtime; it decodes no pictures.

Weights: int8, symmetric, per channel. Activations: uint8, asymmetric, by the smallest and largest value over the
frames. Only what goes into a convolution is quantised, not what comes out of it: OpenVINO then runs convolution,
activation and requantisation as one step. The last convolutions of each head and those over few channels, which are the
first ones, keep their precision. Why, and what else was measured: decision 7.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from zoo.errors import PrecisionError
from zoo.precision.trunk import trunk

_MARK = "onnxruntime.quant"
OLDEST_OPSET = 13
LEAST_CHANNELS = 128
"""Rounding errors even out over what a convolution sums. The few layers below this move the results more than all
others together, and are hardly quicker in int8 than in bf16."""
LEAST_FRAMES = 5
"""Fewer say nothing about the range of a value. A few hundred of the kind that will be served are good."""


def quantise(model: onnx.ModelProto, frames: NDArray[np.uint8 | np.float32]) -> onnx.ModelProto:
    """A copy in int8. Nodes of the model that have no name get one.

    Args:
        frames: (N, H, W, 3) RGB, 0..255, of the model's input type; N at least `LEAST_FRAMES`.

    Raises:
        PrecisionError: too few frames, or no convolution between others.
    """
    if len(frames) < LEAST_FRAMES:
        raise PrecisionError(
            f"Calibration needs at least {LEAST_FRAMES} pictures, better hundreds; here are {len(frames)}."
        )
    model = _new_enough(model)
    _name(model.graph)
    chosen = convolutions(model.graph)
    if not chosen:
        raise PrecisionError(
            f"The model has no convolution over {LEAST_CHANNELS} channels or more between others, so int8 has no use."
        )
    # What the quantiser looks for; without it, it asks for a preparation that our graphs do not need.
    model.metadata_props.add(key="onnx.quant.pre_process", value=_MARK)
    with tempfile.TemporaryDirectory(prefix="spotter-int8-") as folder:
        target = Path(folder) / "model.onnx"
        quantize_static(
            model,
            str(target),
            _Reader(frames),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["Conv"],
            },
        )
        made = onnx.load(target)
    for one in (model, made):
        kept = [entry for entry in one.metadata_props if entry.value != _MARK]
        del one.metadata_props[:]
        one.metadata_props.extend(kept)
    return made


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions to quantise: over `LEAST_CHANNELS` or more, with fixed weights, and with heavy
    operators before and after them.
    """
    inside = trunk(graph).inside
    weights = {one.name for one in graph.initializer if len(one.dims) == 4 and one.dims[1] >= LEAST_CHANNELS}
    return [
        node.name
        for k, node in enumerate(graph.node)
        if k in inside and node.op_type == "Conv" and node.input[1] in weights
    ]


def _new_enough(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in an opset that has scales for each channel. That it still says the same, the comparison shows."""
    opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if opset >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        raise PrecisionError(
            f"int8 needs ONNX opset {OLDEST_OPSET}; the model is written in {opset} and cannot be converted ({error}):"
            " export it again."
        ) from None


def _name(graph: onnx.GraphProto) -> None:
    """Give a name to each node that has none of its own: the quantiser tells nodes by them, not every exporter does."""
    taken: set[str] = set()
    for k, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type.lower()}_{k}_{len(taken)}"
        taken.add(node.name)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """The frames one by one, so that calibration needs the memory of one."""

    def __init__(self, frames: NDArray[np.uint8 | np.float32]) -> None:
        self._frames: Iterator[NDArray[np.uint8 | np.float32]] = iter(frames)

    def get_next(self) -> dict[str, NDArray[np.uint8 | np.float32]] | None:
        frame = next(self._frames, None)
        return None if frame is None else {"images": frame[None]}

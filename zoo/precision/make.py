"""A model file -> the file of a variant. Files in and out, so that whoever asks needs neither ONNX nor NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from zoo.errors import PrecisionError
from zoo.precision.half import halve
from zoo.precision.int8 import quantise


def make(precision: str, model: Path, target: Path, frames: Path | None = None) -> None:
    """Write the variant of `model.onnx` to `target`.

    Args:
        precision: a key of `MAKERS`.
        frames: `.npy` of frames to calibrate with, as `worker.local` writes it; only int8 needs it.

    Raises:
        PrecisionError: the model cannot be had in this precision.
    """
    onnx.save(MAKERS[precision](onnx.load(model), frames), target)


def emulate_half(model: Path, target: Path) -> None:
    """Write a graph that shows on a CPU what fp16 does on a GPU; see `halve`. Not a variant: it is slower than fp32."""
    onnx.save(halve(onnx.load(model), emulated=True), target)


def _half(model: onnx.ModelProto, frames: Path | None) -> onnx.ModelProto:
    return halve(model)


def _int8(model: onnx.ModelProto, frames: Path | None) -> onnx.ModelProto:
    if frames is None:
        raise PrecisionError("int8 needs pictures to calibrate with.")
    return quantise(model, np.load(frames, mmap_mode="r"))


MAKERS: dict[str, Callable[[onnx.ModelProto, Path | None], onnx.ModelProto]] = {"fp16": _half, "int8": _int8}
"""The precisions that need a graph of their own. bf16 is arithmetic that a provider does with `model.onnx`."""

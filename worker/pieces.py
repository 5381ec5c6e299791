"""Batches of any size -> runs of the sizes that a GPU is prepared for, and smaller ones once its memory runs out.

A GPU chooses kernels, and TensorRT an engine, by shape: a batch is filled up to the next size that was warmed. Knows
neither providers nor models; decision 13 says what of this no GPU has run yet.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.errors import InferenceFailed
from worker.output import Output, joined

log = logging.getLogger(__name__)

Frames: TypeAlias = NDArray[np.uint8 | np.float32]

OUT_OF_MEMORY = (
    "failed to allocate memory",
    "smaller than requested bytes",
    "out of memory",
    "outofmemory",
    "_status_alloc_failed",
)
"""What ONNX Runtime's arena (the first two), CUDA, TensorRT, cuBLAS and cuDNN say, lower case. ONNX Runtime raises the
same classes for everything, so the words are all there is.
"""


def out_of_memory(error: BaseException) -> bool:
    """Whether the device had too little memory for a run; looks at causes too."""
    said: BaseException | None = error
    while said is not None:
        if any(words in str(said).lower() for words in OUT_OF_MEMORY):
            return True
        said = said.__cause__
    return False


class Pieces:
    """A run that takes any number of frames. Thread-safe as far as `run` is.

    Args:
        run: takes batches of `sizes`; raises InferenceFailed, whose cause says why.
        sizes: ascending, the first is 1.
    """

    def __init__(self, run: Callable[[Frames], Output], sizes: Sequence[int]) -> None:
        if not sizes or sizes[0] != 1 or list(sizes) != sorted(set(sizes)):
            raise ValueError("sizes must ascend from 1")
        self._run, self._sizes = run, tuple(sizes)
        self._lock = threading.Lock()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batches that are run now: fewer than at first once memory ran out."""
        return self._sizes

    def __call__(self, frames: Frames, /) -> Output:
        """Frames (N, H, W, 3) -> the outputs of N pictures.

        Raises:
            InferenceFailed: a run failed, and not for memory alone, or even one frame is too much.
        """
        outputs: list[Output] = []
        done = 0
        while done < len(frames):
            piece = frames[done : done + self._sizes[-1]]
            try:
                outputs.append(self._filled(piece))
            except InferenceFailed as error:
                if len(piece) == 1 or not out_of_memory(error):
                    raise
                self._halve(len(piece))
                continue
            done += len(piece)
        return outputs[0] if len(outputs) == 1 else joined(outputs)

    def _filled(self, piece: Frames) -> Output:
        size = next((one for one in self._sizes if one >= len(piece)), len(piece))
        if size == len(piece):
            return self._run(piece)
        full = np.zeros((size, *piece.shape[1:]), piece.dtype)
        full[: len(piece)] = piece
        return self._run(full).first(len(piece))

    def _halve(self, tried: int) -> None:
        """Never again so many; another thread may have come to that already."""
        with self._lock:
            kept = tuple(one for one in self._sizes if 2 * one <= tried) or (1,)
            if len(kept) < len(self._sizes):
                self._sizes = kept
                log.warning(
                    "the device has too little memory for %d pictures in a run; from now on %d", tried, kept[-1]
                )

"""What a model says of its frames: the arrays of the model contract (`shared/manifest.py`). `engine` makes them,
`batcher` hands each picture its part, `select` reads them; so none of these needs to know another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Output:
    """Of one picture; of a batch, each array has the batch axis in front.

    Attributes:
        boxes: (A, 4) float32, x1 y1 x2 y2, 0..1 of the frame.
        scores: (A, C) float32, probability per class; (A,) where `labels` are given.
        labels: (A,) int64 class numbers, from a model that suppresses overlaps by itself; else None.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Pictures of a batch; zero where the arrays disagree, so that a broken batch is not taken for a whole one."""
        lengths = {len(array) for array in (self.boxes, self.scores, self.labels) if array is not None}
        return lengths.pop() if len(lengths) == 1 else 0

    def picture(self, index: int) -> Output:
        """One picture's part of a batch, as views."""
        return Output(self.boxes[index], self.scores[index], None if self.labels is None else self.labels[index])

    def first(self, count: int) -> Output:
        """The first pictures of a batch, as views."""
        return Output(self.boxes[:count], self.scores[:count], None if self.labels is None else self.labels[:count])


def joined(parts: Sequence[Output]) -> Output:
    """Batches, one after the other; each picture must have equally many boxes."""
    labels = [part.labels for part in parts if part.labels is not None]
    return Output(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(labels) if labels else None,
    )

"""What the rows of a YOLO head say of its frame. Knows strides; knows no exporter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
STRIDES_P6 = (8, 16, 32, 64)


def cells(width: int, height: int, strides: tuple[int, ...] = STRIDES) -> int:
    """Cells of all grids over a frame together."""
    return sum((height // stride) * (width // stride) for stride in strides)


def grid(
    width: int, height: int, strides: tuple[int, ...] = STRIDES
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of each cell (1, A, 2), and its stride (1, A, 1), grid by grid and row by row, float32."""
    places, sizes = [], []
    for stride in strides:
        columns, rows = width // stride, height // stride
        place = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
        places.append(place)
        sizes.append(np.full((len(place), 1), stride))
    return np.concatenate(places)[np.newaxis].astype(np.float32), np.concatenate(sizes)[np.newaxis].astype(np.float32)

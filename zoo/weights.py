"""Darknet's `.weights` file -> float32 arrays in file order. Knows the header, not which layer reads what.

Format (darknet `load_weights_upto`): int32 major, minor, revision; then the count of pictures seen in training, 64 bits
where `major * 10 + minor >= 2` and 32 bits in older files; then float32 values to the end. All little endian. In files
whose major or minor lies above 1000, old ones with 32 bits, the kernels of connected layers are transposed.

Darknet reads a file that is too short or too long without a word: layers that it does not reach keep random values.
Both are refused here. A backbone cut off to start training from (`darknet partial`, `yolov4.conv.137`) is such a file.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import WeightsError

Floats = NDArray[np.float32]

TRANSPOSED = 1000
MAX_VERSION = 10_000
"""Text, which is what a failed download holds, gives numbers far above this."""


class Weights:
    """The values of one weights file, read front to back. The file is mapped, not loaded.

    Attributes:
        transposed: whether the kernels of connected layers stand as (inputs, outputs).

    Raises:
        WeightsError: the file cannot be read or is no weights file.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            size = path.stat().st_size
            head = np.fromfile(path, dtype="<i4", count=3)
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
        if len(head) < 3:
            raise WeightsError(f"{self._name} is too short for a weights file: {size} bytes.")
        major, minor = int(head[0]), int(head[1])
        if not (0 <= major < MAX_VERSION and 0 <= minor < MAX_VERSION):
            raise WeightsError(f"{self._name} says format version {major}.{minor}: this is not a usable weights file.")
        self.transposed = major > TRANSPOSED or minor > TRANSPOSED
        offset = 12 + (8 if major * 10 + minor >= 2 and max(major, minor) < TRANSPOSED else 4)
        if size < offset or (size - offset) % 4:
            raise WeightsError(f"{self._name} is cut off or damaged: {size} bytes do not hold whole float32 values.")
        count = (size - offset) // 4
        self._values: Floats = (
            np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(count,)) if count else np.empty(0, np.float32)
        )
        self._next = 0

    def take(self, *shape: int) -> Floats:
        """The next values as float32 of `shape`, C order; a view of the file.

        Raises:
            WeightsError: the file ends before.
        """
        count = math.prod(shape)
        end = self._next + count
        if end > len(self._values):
            raise WeightsError(
                f"{self._name} is too short for this cfg: values up to {end} are needed, it has {len(self._values)}."
            )
        values = self._values[self._next : end].reshape(shape)
        self._next = end
        return values

    def finish(self) -> None:
        """Say that the last layer has read its values.

        Raises:
            WeightsError: values are left over, so the file belongs to another cfg.
        """
        left = len(self._values) - self._next
        if left:
            raise WeightsError(
                f"{self._name} is too long for this cfg: {left} of {len(self._values)} values belong to no layer."
            )

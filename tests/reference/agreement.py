"""When two lists of detections say the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.schema import Detection
from worker.engine import Engine

PICTURES = Path(__file__).parents[1] / "pictures"
NAMES = tuple(sorted(path.name for path in PICTURES.glob("*.jpg")))
COMPARED = 0.25
"""Detections above this are compared. Both sides search from 0.24 on, so that one at the rim finds its partner."""


@dataclass(frozen=True)
class Found:
    """A detection; corners in pixels."""

    class_id: int
    confidence: float
    corners: tuple[float, float, float, float]

    @classmethod
    def of(cls, one: Detection) -> Found:
        box = one.box
        return cls(one.class_id, one.confidence, (box.x, box.y, box.x + box.width, box.y + box.height))

    def clipped(self, width: int, height: int) -> Found:
        """The reference's box cut to the picture, as the worker's are."""
        left, top, right, bottom = self.corners
        inside = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        return Found(self.class_id, self.confidence, inside)

    def off(self, other: Found) -> float:
        """Largest distance of a side, pixels."""
        return float(np.abs(np.subtract(self.corners, other.corners)).max())


Detect = Callable[[str, Engine], list[Found]]
"""A sample picture's name and an engine -> what the worker finds above 0.24."""


def assert_agree(ours: Sequence[Found], reference: Sequence[Found], confidence: float, pixels: float) -> None:
    """Every detection above 0.25 of either side has its own partner on the other: same class, confidence and box."""
    assert sum(one.confidence > COMPARED for one in reference) > 0, "the reference found nothing: nothing was compared"
    for one_side, other_side in ((reference, ours), (ours, reference)):
        free = list(other_side)
        for one in one_side:
            if one.confidence <= COMPARED:
                continue
            partners = [other for other in free if other.class_id == one.class_id and one.off(other) <= pixels]
            assert partners, f"{one} has no partner among {free}"
            best = min(partners, key=lambda other: abs(other.confidence - one.confidence))
            assert abs(best.confidence - one.confidence) <= confidence, f"{one} against {best}"
            free.remove(best)

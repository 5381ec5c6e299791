"""Two outcomes of the same pictures -> how far they say the same. Knows detections, not where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spotter.errors import StackError
from spotter.job import Box, Detection, Picture

OVERLAP = 0.5
"""Intersection over union from which on two boxes mean the same object, as in PASCAL VOC."""
RIM = 0.05
"""The other side is searched so far below the reference's threshold, so that one at the rim finds its partner; and what
it finds counts as too much only so far above it."""


@dataclass(frozen=True)
class Agreement:
    """How the detections of one side agree with those of a reference.

    Attributes:
        pictures: compared.
        detections: of the reference.
        matched: part of them that the other side has too: same label, overlap of at least `OVERLAP`; 0..1; 1 where
            the reference has none.
        confidence_drift: mean absolute difference of confidence over the matched ones; 0 where there are none.
        largest_drift: the largest of these.
        extra: detections of the other side, clearly above the threshold, that the reference does not have.
        different: places of the pictures with a missing or an extra detection.
    """

    pictures: int
    detections: int
    matched: float
    confidence_drift: float
    largest_drift: float
    extra: int
    different: tuple[int, ...]


def search_from(reference: Sequence[Picture], threshold: float) -> float:
    """Confidence from which on the other side is to be searched, 0..1, where the reference was from `threshold` on."""
    return max(0.0, min([threshold, *(found.confidence for one in reference for found in one.detections)]) - RIM)


def compare(reference: Sequence[Picture], other: Sequence[Picture], threshold: float) -> Agreement:
    """Compare picture by picture, in order.

    Args:
        reference: what was found from `threshold` on.
        other: what was found from `search_from` on.

    Raises:
        StackError: a picture failed on one side, or the two sides saw different pictures.
    """
    if len(reference) != len(other):
        raise StackError(f"{len(other)} pictures cannot be compared with {len(reference)}.")
    drifts: list[float] = []
    detections = extra = 0
    different = []
    for index, (expected, found) in enumerate(zip(reference, other, strict=True)):
        _comparable(index, expected, found)
        pairs, missing, unexpected = match(expected.detections, found.detections)
        more = [one for one in unexpected if one.confidence >= threshold + RIM]
        drifts += [abs(ours.confidence - theirs.confidence) for theirs, ours in pairs]
        detections += len(expected.detections)
        extra += len(more)
        if missing or more:
            different.append(index)
    return Agreement(
        pictures=len(reference),
        detections=detections,
        matched=len(drifts) / detections if detections else 1.0,
        confidence_drift=sum(drifts) / len(drifts) if drifts else 0.0,
        largest_drift=max(drifts, default=0.0),
        extra=extra,
        different=tuple(different),
    )


def match(
    expected: Sequence[Detection], found: Sequence[Detection]
) -> tuple[list[tuple[Detection, Detection]], list[Detection], list[Detection]]:
    """Pairs (expected, found), what was missed, and what is left over.

    Each expected detection, strongest first, takes the free one of its label that overlaps it most.
    """
    pairs: list[tuple[Detection, Detection]] = []
    missing: list[Detection] = []
    free = list(found)
    for one in sorted(expected, key=lambda one: -one.confidence):
        partners = [other for other in free if other.label == one.label and overlap(one.box, other.box) >= OVERLAP]
        if not partners:
            missing.append(one)
            continue
        best = max(partners, key=lambda other: (overlap(one.box, other.box), other.confidence))
        free.remove(best)
        pairs.append((one, best))
    return pairs, missing, free


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def _comparable(index: int, expected: Picture, found: Picture) -> None:
    for side in (expected, found):
        if side.status != "succeeded":
            why = f": {side.error.detail}" if side.error else ""
            raise StackError(f"Picture {index} {side.status}, so there is nothing to compare{why}")
    if expected.size and found.size and expected.size != found.size:
        raise StackError(
            f"Picture {index} has {found.size[0]} x {found.size[1]} pixels where {expected.size[0]} x"
            f" {expected.size[1]} were recorded: it is another picture."
        )

"""Numbers of a bench -> the few that say something: percentiles, medians with their range. Knows no clock, no load."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypeAlias

Range: TypeAlias = dict[str, float]
"""`{"median": ..., "low": ..., "high": ...}` over the rounds of one run."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` (0..100) of all do not exceed: nearest rank, as HdrHistogram counts.

    Nothing is interpolated: every percentile is a latency that somebody had.

    Raises:
        ValueError: no values, or a percentage out of range.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError("a percentile needs values, and lies within 0..100")
    rank = math.ceil(round(percent / 100 * len(values), 9))
    return sorted(values)[max(rank, 1) - 1]


def over_rounds(values: Sequence[float], digits: int = 1) -> Range:
    """Median, smallest and largest of the rounds, rounded to `digits` after the point."""
    return {
        "median": round(statistics.median(values), digits),
        "low": round(min(values), digits),
        "high": round(max(values), digits),
    }


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round, so that what the machine did in one round touches both sides of its ratio."""
    return [one / other for one, other in zip(of, to, strict=True)]

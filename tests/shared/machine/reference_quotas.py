"""What an owner may send at once and over time, written once more in plain Python: the reference for the scripts.

In come calls that cost one each, out goes whether it is to be had and, if not, in how many seconds. Written from
docs/api.md and docs/operations.md (`SPOTTER_OWNER_RATE` a second, `SPOTTER_OWNER_BURST` at once), not from the scripts:
in fractions, which lose nothing. A level is kept to a thousandth of a call, so what is left lies between two bounds,
which are one where no finer part came into it. Knows neither server nor jobs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from shared.keys import Limits

HALF = Fraction(1, 2000)
"""A level may be rounded by so much."""


@dataclass(frozen=True)
class Level:
    """Calls that could be had at once, between `low` and `high`, at a moment."""

    low: Fraction
    high: Fraction
    at_ms: int


class Buckets:
    """Of each owner, whose limits stay the same in a walk."""

    def __init__(self) -> None:
        self._levels: dict[str, Level] = {}

    def level(self, owner: str, limits: Limits, now_ms: int) -> Level:
        """As it is now: what was left, and what came back since; never more than the burst."""
        burst = Fraction(limits.burst)
        last = self._levels.get(owner, Level(burst, burst, now_ms))
        back = (now_ms - last.at_ms) * Fraction(str(limits.rate)) / 1000
        return Level(min(burst, last.low + back), min(burst, last.high + back), now_ms)

    def spend(self, owner: str, limits: Limits, left: int | None, now_ms: int) -> None:
        """One was had, and `left` more are said to be (None: any number, or nothing was said)."""
        if not limits.rate:
            assert left is None, "a bound that nobody set"
            return
        level = self.level(owner, limits, now_ms)
        assert level.high >= 1, "more than was agreed"
        low, high = max(level.low - 1, Fraction(0)), level.high - 1
        assert left is None or math.floor(low) <= left <= math.floor(high), "another count of what is left"
        if low != high or (low * 1000).denominator != 1:
            low, high = low - HALF, high + HALF
        self._levels[owner] = Level(low, high, now_ms)

    def refuse(self, owner: str, limits: Limits, again_s: int | None, now_ms: int) -> None:
        """None was to be had, and it was said that one is in `again_s`: neither earlier nor a second later."""
        assert limits.rate, "a bound that nobody set"
        level = self.level(owner, limits, now_ms)
        assert level.low < 1, "less than was agreed"
        rate = Fraction(str(limits.rate))
        soonest, latest = (max(1, math.ceil((1 - part) / rate)) for part in (level.high, level.low))
        assert again_s is not None
        assert soonest <= again_s <= latest, "another Retry-After"
        if level.high >= 1:
            self._levels[owner] = Level(level.low, Fraction(999_999, 1_000_000), now_ms)

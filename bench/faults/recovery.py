"""How long work that a dead worker held lay idle, from the fetches that the site saw and the final states.

A job with n attempts was fetched n times. What broke off an attempt is the first kill after its fetch; it has recovered
when the next attempt fetches, or, after the last kill, when the job is final.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from bench.faults.watch import Ended


def recoveries(
    kills: Sequence[float], fetched: Mapping[int, Sequence[float]], ended: Mapping[int, Ended]
) -> list[float]:
    """Seconds from a kill to the recovery of each attempt that it broke off. All times are epoch seconds.

    Args:
        kills: of workers, in order.
        fetched: times of the fetches by job number, in order.
        ended: the final states by job number.
    """
    found = []
    for number, one in ended.items():
        times = fetched.get(number, ())
        for k, begun in enumerate(times[:-1]):
            at = bisect_left(kills, begun)
            recovered = times[k + 1] if k + 2 < len(times) else one.finished
            if at < len(kills) and kills[at] < recovered:
                found.append(recovered - kills[at])
    return found

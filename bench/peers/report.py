"""Measurements of all rounds -> medians, ranges and ratios. Knows neither servers nor the load generator."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, TypeAlias

from bench.figures import Range, over_rounds, ratios
from bench.peers.load import Measured

Rounds: TypeAlias = dict[str, dict[int, list[Measured]]]
"""By side, then by clients, in the order of the rounds."""

SPOTTER = "spotter"


def side(measured: Sequence[Measured], spotter: Sequence[Measured], bare: Sequence[float]) -> dict[str, Any]:
    """One side at one number of clients, against Spotter and the bare loop of the same rounds."""
    rates = [one.rate for one in measured]
    return {
        "per_s": over_rounds(rates, 1),
        "p50_ms": over_rounds([one.p50_ms for one in measured], 1),
        "p99_ms": over_rounds([one.p99_ms for one in measured], 1),
        "errors": sum(one.errors for one in measured),
        "of_spotter": over_rounds(ratios(rates, [its.rate for its in spotter]), 3),
        "of_bare": over_rounds(ratios(rates, bare), 3),
    }


def against_best(rounds: Rounds, clients: int) -> dict[str, Any]:
    """Spotter's rate over the highest of all others of the same round, and that one's name by its median."""
    others = {name: counts[clients] for name, counts in rounds.items() if name != SPOTTER}
    if not others:
        return {}
    mine = rounds[SPOTTER][clients]
    highest = [max(other[k].rate for other in others.values()) for k in range(len(mine))]
    best = max(others, key=lambda name: statistics.median(one.rate for one in others[name]))
    return {"ratio": over_rounds(ratios([one.rate for one in mine], highest), 3), "best": best}


def table(rounds: Rounds, bare: Sequence[float]) -> str:
    """Markdown, one row a side and number of clients."""
    lines = [
        "| | clients | requests/s | p50 ms | p99 ms | errors | of Spotter | of the bare loop |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, counts in rounds.items():
        for clients, measured in counts.items():
            one = side(measured, rounds[SPOTTER][clients], bare)
            cells = [name, clients, _cell(one["per_s"]), _cell(one["p50_ms"]), _cell(one["p99_ms"]), one["errors"],
                     _cell(one["of_spotter"]), one["of_bare"]["median"]]  # fmt: skip
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _cell(values: Range) -> str:
    return f"{values['median']} ({values['low']} to {values['high']})"

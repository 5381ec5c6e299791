"""Documents of fault runs -> docs/reliability.md: the promise, the table, and one command for each line. Runs nothing.

What stands below `BY_HAND` on the page is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.faults.roster import SCENARIOS

BY_HAND = "<!-- what follows is written by hand and kept by `make faults` -->"
PROMISE = """\
# Reliability

Every job that was answered 202 reaches one final, visible state, exactly one result of each picture is committed, and
no input reaches what it should not. A webhook is delivered at least once and always under the same id.

This page says how that was tried: real processes are killed, frozen and restarted while jobs are posted, and a
ledger of every 202 is held against the service afterwards. `make faults` runs all of it (about an hour; `ARGS=--short`:
a small form in a few minutes) and writes this page; each line has a command of its own. A seed makes the same choices
again, but not the same moments: those are the machine's.\
"""


def page(found: Mapping[str, Mapping[str, Any]], kept: str) -> str:
    """The whole page.

    Args:
        found: by scenario: `document` of the run, `machine` facts of its moment.
        kept: what stood below `BY_HAND`.
    """
    done = {name: found[name] for name in SCENARIOS if name in found}
    parts = [PROMISE, _table(done), _runs(done), BY_HAND, kept.strip()]
    return "\n\n".join(part for part in parts if part).rstrip() + "\n"


def by_hand(text: str) -> str:
    """What an earlier page had below the mark."""
    return text.partition(BY_HAND)[2]


def _table(done: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| what | load | fault | reach | held | measured |", "|---|---|---|---|---|---|"]
    for name, one in done.items():
        row = one["document"]
        cells = [SCENARIOS[name] + (" (short form)" if row["short"] else ""), row["load"], row["fault"], row["reach"],
                 "yes" if row["held"] else "**no**", measured(row["measured"])]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(figures: Mapping[str, Any]) -> str:
    """`jobs 10,000; lost 0; final states succeeded 10,000; ...`"""
    return "; ".join(f"{name} {_words(value)}" for name, value in figures.items())


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_words(one) for one in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _runs(done: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["## The runs", "", "| what | command | took | date, commit | machine |", "|---|---|---|---|---|"]
    for name, one in done.items():
        row, machine = one["document"], one["machine"]
        cells = [SCENARIOS[name], f"`{row['command']}`", f"{row['seconds']:,.0f} s",
                 f"{machine['date']}, {machine['commit']}",
                 f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, {machine['system']}, "
                 f"Python {machine['python']}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)

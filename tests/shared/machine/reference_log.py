"""An owner's lists of deliveries, written once more in plain Python: part of `reference_hooks.py`.

docs/decisions/0023-webhooks.md and docs/operations.md: two lists by time of the event, the newest of all and the newest
of those that did not arrive. Knows names and times, no deliveries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.shared.machine.own_clock import LOG_MOST

LIST_MS = 30 * 86_400_000
"""A list to which nothing came for so long is gone."""


@dataclass
class Newest:
    """Names by the time of their events, `LOG_MOST` at most."""

    names: dict[str, int] = field(default_factory=dict)
    ends_ms: int = 0

    def at(self, now_ms: int) -> dict[str, int]:
        return self.names if now_ms <= self.ends_ms else {}

    def add(self, name: str, at_ms: int, now_ms: int) -> str | None:
        """Returns which one had to go: the oldest, perhaps this one itself."""
        self.names, self.ends_ms = self.at(now_ms) | {name: at_ms}, now_ms + LIST_MS
        if len(self.names) <= LOG_MOST:
            return None
        oldest = min(self.names, key=lambda one: (self.names[one], one))
        del self.names[oldest]
        return oldest

    def newest_first(self, now_ms: int) -> list[str]:
        names = self.at(now_ms)
        return sorted(names, key=lambda one: (names[one], one), reverse=True)

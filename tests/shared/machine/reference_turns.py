"""What the store promises about turns and tokens, written once more in plain Python: part of `reference_jobs.py`.

Turns: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) between the owners that wait for a model. Tokens:
docs/decisions/0001-tokens.md, and threads that linger in the place of tokens. Knows counts of pictures, no jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

WAKE_MS = 1000
MOST_TOKENS = 64


class Turns:
    """Pictures served of each owner, by model; whoever comes anew begins where the last one taken stood."""

    def __init__(self) -> None:
        self.served: Counter[tuple[str, str]] = Counter()
        self.last: Counter[str] = Counter()

    def comes(self, model: str, owner: str) -> None:
        """An owner that waited for nothing waits now."""
        self.served[model, owner] = max(self.last[model], self.served[model, owner])

    def first(self, model: str, owners: Iterable[str]) -> str:
        """Whose turn it is; of equal ones the first by name."""
        return min(owners, key=lambda owner: (self.served[model, owner], owner))

    def took(self, model: str, owner: str, pictures: int) -> None:
        self.last[model] = self.served[model, owner]
        self.served[model, owner] += pictures


class Tokens:
    """Tokens on their way, and threads that wait for a moment, by model."""

    def __init__(self) -> None:
        self.on_way: Counter[str] = Counter()
        self.lingering: dict[str, dict[str, int]] = {}
        self.woken: dict[str, tuple[int, int]] = {}

    def due(self, model: str, waiting: int, now_ms: int) -> int:
        """How many are to be published. Counts what is due as on its way; threads that linger are woken instead."""
        due = max(0, min(waiting, MOST_TOKENS) - self.on_way[model])
        self.on_way[model] += due
        threads = self.lingering.get(model, {})
        woken = 0
        while woken < due and threads:
            thread = max(threads, key=lambda name: (threads[name], name))
            if threads.pop(thread) <= now_ms:
                break
            woken += 1
        if woken:
            self.woken[model] = (self.awake(model, now_ms) + woken, now_ms + WAKE_MS)
        return due - woken

    def awake(self, model: str, now_ms: int) -> int:
        """Threads that are to be woken and were not yet."""
        count, until = self.woken.get(model, (0, 0))
        return count if now_ms <= until else 0

    def wakes(self, model: str) -> None:
        """One of them was woken."""
        count, until = self.woken[model]
        self.woken[model] = (count - 1, until)

    def came(self, model: str) -> None:
        """A claim is the first one of a token."""
        self.on_way[model] = max(0, self.on_way[model] - 1)

    def wanted_beside(self, model: str) -> bool:
        """Whether tokens of other models wait for a thread."""
        return any(count > 0 for other, count in self.on_way.items() if other != model)

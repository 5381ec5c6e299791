"""How many wait for changes, of one owner and in all: those who listen leave connections for those who send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ServiceBusy, TooManyListeners

RETRY_S = 5


class Listeners:
    """Counts streams of events and long-polls of this process."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._of: Counter[str] = Counter()

    @contextmanager
    def one_more(self, owner: str) -> Iterator[None]:
        """One listens for the time of the block. Raises TooManyListeners (the owner's bound), ServiceBusy (all)."""
        if self._of[owner] >= self._most_of_one:
            raise TooManyListeners(
                f"{self._most_of_one} of your requests wait for changes at this process already; end some of them.",
                retry_after_s=RETRY_S,
            )
        if self._of.total() >= self._most:
            raise ServiceBusy("Enough clients wait for changes here; look once instead.", retry_after_s=RETRY_S)
        self._of[owner] += 1
        try:
            yield
        finally:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]

"""What is promised of uploads that an owner keeps for several jobs, written once more in plain Python.

In come names, sizes and times, out goes what is kept, of whom and until when. Written from docs/api.md (`/uploads`) and
docs/operations.md, not from the scripts. The bytes themselves are `Reference.uploads`; knows neither server nor jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEAST_COUNTED = 1024
"""Bytes that a small upload counts as."""


@dataclass
class KeptUpload:
    """Named by its owner alone, until `ends_ms`. `elsewhere`: its bytes are in S3."""

    name: str
    owner: str
    size: int
    ends_ms: int
    elsewhere: bool = False

    @property
    def counted(self) -> int:
        return max(LEAST_COUNTED, self.size)


class KeptUploads:
    """All that were kept and not dropped, also those whose time is over."""

    def __init__(self) -> None:
        self.all: dict[str, KeptUpload] = {}

    def find(self, owner: str, name: str, now_ms: int) -> KeptUpload | None:
        one = self.all.get(name)
        return one if one and one.owner == owner and now_ms < one.ends_ms else None

    def of(self, owner: str, now_ms: int) -> list[KeptUpload]:
        """What an owner keeps now, what goes first at the head."""
        there = [one for one in self.all.values() if one.owner == owner and now_ms < one.ends_ms]
        return sorted(there, key=lambda one: (one.ends_ms, one.name))

    def prolong(self, owner: str, names: Iterable[str], ends_ms: int, now_ms: int) -> None:
        """A job needs them until then: never for a shorter time than before."""
        for name in names:
            one = self.find(owner, name, now_ms)
            if one:
                one.ends_ms = max(one.ends_ms, ends_ms)

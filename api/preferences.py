"""The header `Prefer` (RFC 7240) -> how long its client would wait. Other preferences are passed over."""

from __future__ import annotations

import re

MAX_WAIT_S = 60

_WAIT = re.compile(r"(?:^|[,;\s])wait(?:=(\d{1,4}))?(?=$|[,;\s])")


def preferred_wait(header: str) -> int | None:
    """`wait=10` -> 10; `wait` alone -> 60; anything else in the header is not ours."""
    found = _WAIT.search(header.lower())
    if not found:
        return None
    return min(MAX_WAIT_S, int(found.group(1) or MAX_WAIT_S))

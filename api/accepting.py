"""The header `Accept` -> what the client likes, best first (RFC 9110, 12.5.1). Knows nothing of what can be made."""

from __future__ import annotations

import re

_QVALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
"""RFC 9110, 12.4.2."""


def ranked(accept: str) -> list[tuple[float, str]]:
    """`text/html, */*;q=0.8` -> [(1.0, "text/html"), (0.8, "*/*")]: weights 0..1, those of one weight as they came.

    A weight that is none counts as 0, which is a refusal.
    """
    found: list[tuple[float, str]] = []
    for part in accept.lower().split(","):
        kind, _, parameters = part.strip().partition(";")
        quality = 1.0
        for parameter in parameters.split(";"):
            name, _, value = parameter.strip().partition("=")
            if name == "q":
                quality = float(value) if _QVALUE.fullmatch(value) else 0.0
        found.append((quality, kind.strip()))
    return sorted(found, key=lambda entry: -entry[0])


def weight(accept: str, kind: str) -> float:
    """How much of `kind` (`text/html`) is liked, 0..1: the most precise range that names it decides."""
    said = {name: quality for quality, name in reversed(ranked(accept))}  # of a range named twice the best weight
    return next((said[name] for name in (kind, f"{kind.partition('/')[0]}/*", "*/*") if name in said), 0.0)

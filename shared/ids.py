"""Names of new things: time-ordered and not to be guessed (ULID: 48 bits of milliseconds, 80 random bits)."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """26 characters of Crockford base32; sorts by creation time (github.com/ulid/spec)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def job_id() -> str:
    """`job_` and a ULID."""
    return f"job_{ulid()}"


def upload_id() -> str:
    """`upl_` and a ULID."""
    return f"upl_{ulid()}"

"""Names of new things: time-ordered and not to be guessed (ULID: 48 bits of milliseconds, 80 random bits)."""

from __future__ import annotations

import hashlib
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


def upload_id(owner: str) -> str:
    """`upl_`, a ULID, and eight digits that say whose it is."""
    return f"upl_{ulid()}{_tag(owner)}"


def kept_upload_id(owner: str) -> str:
    """The same for an upload that is kept for several jobs: `upk_...`."""
    return f"upk_{ulid()}{_tag(owner)}"


def owns_upload(owner: str, name: str) -> bool:
    """Whether `upload_id(owner)` or `kept_upload_id(owner)` may have made this name."""
    return name.endswith(_tag(owner))


def is_kept(name: str) -> bool:
    """Whether it is an upload that its owner keeps, and not one that came with a job."""
    return name.startswith("upk_")


def _tag(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:8]

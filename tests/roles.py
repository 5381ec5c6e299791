"""The address of the test server -> that of one of its users, whose password there is the name."""

from __future__ import annotations


def as_role(redis_url: str, role: str) -> str:
    """`role` is one of `spotter.acl.ROLES`; what it may do says `spotter/valkey.acl`."""
    return redis_url.replace("redis://", f"redis://{role}:{role}@")

"""Uploads that a client keeps for several jobs, as calls on the store: each owner has a list of them, bounded in bytes.

They belong to no job: none drops them, and a job that names one only has it live long enough. The bytes lie where those
of other uploads do (`blobs.py`); the list says whose they are, how large, and until when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import RateLimited, UploadQuotaExceeded
from shared.keys import UNLIMITED, Limits
from shared.store import Call

RESERVED_S = 60
"""An upload that goes to S3 has its place in the list for so long before it is there, and no other is kept for less.
Whoever ends in between leaves a place that goes by itself."""


@dataclass(frozen=True)
class Kept:
    """An upload in its owner's list."""

    name: str
    size_bytes: int
    expires_ms: int


def keep(
    owner: str, name: str, data: bytes | None, size: int, ttl_s: int, *, most_bytes: int, limits: Limits = UNLIMITED
) -> Call[Kept]:
    """Put an upload into its owner's list, and its bytes into the store. It counts as a job for the owner's rate.

    Args:
        data: None: they go to S3, after this. `hold` gives the upload its whole time once they are there.
        most_bytes: of all that the owner keeps; 0: any number. A small upload counts as 1 kB.

    Raises (when run): RateLimited, UploadQuotaExceeded, StoreFull.
    """

    def read(reply: list[int]) -> Kept:
        if reply[0] == -2:
            again_s = math.ceil(reply[1] / 1000)
            raise RateLimited(
                "Uploads come too fast; send this one again later.",
                retry_after_s=again_s,
                headers=limits.headers(0, again_s),
            )
        if reply[0] == -1:
            raise UploadQuotaExceeded(
                f"You keep {reply[1]} bytes of {most_bytes} already; delete some, or wait until the first goes.",
                retry_after_s=max(1, math.ceil(reply[2] / 1000)),
            )
        return Kept(name, size, reply[0])

    inline = () if data is None else (data,)
    return Call("keep_upload", (owner, name, size, ttl_s, most_bytes, limits.rate, limits.burst, *inline), read)


def kept(owner: str, name: str) -> Call[Kept | None]:
    """Look an upload of the owner's up; None: it is not kept (any more)."""
    return Call("kept_upload", (owner, name), lambda reply: Kept(name, *reply) if reply else None)


def hold(owner: str, names: Sequence[str], ttl_s: int) -> Call[list[str]]:
    """Before a job is taken in that names these: they live `ttl_s` at least. Reads as those that are not kept."""
    return Call("hold_uploads", (owner, ttl_s, *names), lambda reply: [name.decode() for name in reply])


def drop(owner: str, name: str) -> Call[bool]:
    """Keep it no longer. Reads as whether it was kept."""
    return Call("drop_upload", (owner, name), bool)

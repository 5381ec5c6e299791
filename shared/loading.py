"""Pictures that come to the store before their job, as calls on it: those of an archive, a few megabytes at a time.

`accept(loaded=True)` makes them pictures of a job; until then they are nobody's, and live for a short while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.store import Call

LOADED_KEPT_S = 600
"""Pictures that were stored before their job live so long without it: longer than storing all of them takes."""


def load_blobs(blobs: Mapping[str, bytes]) -> Call[int]:
    """Store pictures of a job that is still to be accepted; without that they go after `LOADED_KEPT_S`."""
    pairs = [part for name, data in blobs.items() for part in (name, data)]
    return Call("load_blobs", (LOADED_KEPT_S, *pairs), int)


def drop_blobs(blobs: Iterable[str]) -> Call[int]:
    """These pictures are of no job. Reads as how many were there."""
    return Call("drop_blobs", tuple(blobs), int)

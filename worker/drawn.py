"""Where the annotated picture of a claim is put: the store, or S3 where it is large. Does not draw, nor commit."""

from __future__ import annotations

from shared.blobs import LargeBlobs, drawn_blob
from shared.lifecycle import keep_drawn
from shared.schema import Claim
from shared.store import JobStore
from shared.views import source_of


class Drawn:
    """Thread-safe.

    Args:
        large_blobs: None where the store keeps everything.
    """

    def __init__(self, store: JobStore, large_blobs: LargeBlobs | None) -> None:
        self._store, self._large_blobs = store, large_blobs

    def keep(self, one: Claim, data: bytes) -> None:
        """Before the commit: whoever sees the job succeeded finds its picture. Raises StoreUnavailable, StoreFull."""
        if self._large_blobs is not None and self._large_blobs.takes(data):
            self._large_blobs.put(drawn_blob(one.job.id, one.index), data)
        else:
            self._store.run(keep_drawn(one, data))

    def clear(self, one: Claim) -> None:
        """After a commit that was refused: of a job that was deleted meanwhile nothing is left in S3 either. Raises
        StoreUnavailable.
        """
        large = self._large_blobs if one.job.options.draw else None
        if large is not None and self._store.run(source_of(one.job.id, one.index)) is None:
            large.delete([drawn_blob(one.job.id, one.index)])

"""The pictures of an archive -> the store, before their job is accepted, a few megabytes at a time.

In one script call with the accept, as other uploads go, they would all have to be in memory, and the store would do
nothing else meanwhile. They have a short life of their own until the accept prolongs it, so an API process that
ends in between leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from api.archives import Archive
from api.state import State
from shared.errors import ServiceBusy, SpotterError
from shared.loading import LOADED_KEPT_S, drop_blobs, load_blobs

logger = logging.getLogger(__name__)

LIMIT_S = LOADED_KEPT_S / 2
DROP_AT_ONCE = 500
RETRY_AFTER_S = 30


async def load(state: State, archive: Archive) -> None:
    """Store every picture of the archive; nothing of it stays where that fails.

    Raises:
        InvalidRequest: a picture cannot be read, or there is more in it than the archive said.
        StoreFull, StoreUnavailable, ServiceBusy: it took too long.
    """
    batches = archive.batches()
    try:
        async with asyncio.timeout(LIMIT_S):
            while batch := await asyncio.to_thread(next, batches, None):
                state.admission.check()
                await _put(state, batch)
    except BaseException as error:
        await drop(state, tuple(archive.digests))
        if isinstance(error, TimeoutError):
            raise ServiceBusy("Storing the pictures took too long; try again.", retry_after_s=RETRY_AFTER_S) from None
        raise


async def drop(state: State, uploads: Sequence[str]) -> None:
    """Take pictures away again that were put where a job was to find them, in the store or in S3. Where that fails they
    go by themselves: after a while, or by the bucket's lifecycle rule.
    """
    try:
        if uploads and state.large_blobs is not None:
            await asyncio.to_thread(state.large_blobs.delete, uploads)
        for first in range(0, len(uploads), DROP_AT_ONCE):
            await state.store.run(drop_blobs(uploads[first : first + DROP_AT_ONCE]))
    except SpotterError as error:
        logger.warning("pictures of no job stay for a while", extra={"code": error.code, "pictures": len(uploads)})


async def _put(state: State, batch: dict[str, bytes]) -> None:
    large = {} if state.large_blobs is None else {k: v for k, v in batch.items() if state.large_blobs.takes(v)}
    if state.large_blobs is not None:
        await asyncio.gather(*(asyncio.to_thread(state.large_blobs.put, *one) for one in large.items()))
    if small := {name: data for name, data in batch.items() if name not in large}:
        await state.store.run(load_blobs(small))

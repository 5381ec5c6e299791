"""Whether the store has room for further jobs: a look at its memory every second, and a refusal before a body is read.

What is accepted needs room to be worked on: results, leases, webhooks. So no more is taken in from a share of the
memory on, and the rest is for that. Why not inside the accept: docs/decisions/0017-brokers-and-durability.md.
"""

from __future__ import annotations

import asyncio
import logging

import redis.asyncio
from redis.exceptions import RedisError

from api.cancellation import canceled
from shared.durability import SECTIONS, read
from shared.errors import StoreFull

logger = logging.getLogger(__name__)

EVERY_S = 1.0
RETRY_AFTER_S = 10


class Admission:
    """Looks until stopped. While nothing is known, everything is let through: the server itself refuses at the end.

    Args:
        full_at: share of the server's memory, 0..1.
    """

    def __init__(self, client: redis.asyncio.Redis, full_at: float, every_s: float = EVERY_S) -> None:
        self._client, self._full_at, self._every_s = client, full_at, every_s
        self._filled = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look(), name="admission")

    async def stop(self) -> None:
        """End."""
        if self._task:
            await canceled(self._task)

    def check(self) -> None:
        """Raises StoreFull: there is no room for another job."""
        if self._filled >= self._full_at:
            raise StoreFull(
                f"The job store is {self._filled:.0%} full; the rest is for the jobs that it has. Try again later.",
                retry_after_s=RETRY_AFTER_S,
            )

    async def _look(self) -> None:
        told = False
        while True:
            try:
                found = read(await self._client.info(SECTIONS[0]), {})
                self._filled = found.filled
                if found.evicts and not told:
                    logger.error("the store drops data when it is full", extra={"policy": found.policy})
                told = found.evicts
            except (RedisError, OSError) as error:  # it is away, or does not say: the accept itself finds out
                logger.debug("memory of the store unknown", extra={"error": repr(error)})
            await asyncio.sleep(self._every_s)

"""Waiting for jobs to change: one Pub/Sub subscription of the process serves every request that waits.

A message is a hint that a job changed; what it is now is always read from the store. Messages lost in a reconnect cost
nothing: all watches look again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import redis.asyncio
from redis.exceptions import RedisError

from shared.schema import TERMINAL
from shared.store import EVENTS_CHANNEL
from shared.views import Snapshot

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""A watch looks by itself after this, should the server have dropped a message."""


class Watch:
    """Notices changes of one job from its making on; see `Changes.watch`."""

    def __init__(self, only_final: bool) -> None:
        self.changed = asyncio.Event()
        self.only_final = only_final

    async def until(
        self,
        look: Callable[[], Awaitable[Snapshot]],
        done: Callable[[Snapshot], bool],
        timeout_s: float,
        *,
        new: bool = False,
    ) -> Snapshot:
        """The first snapshot for which `done` holds, or the last one when `timeout_s` is over.

        Args:
            new: there is nothing to see before the first change, since the job came after this watch.

        Raises whatever `look` raises.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if new:
                await self._change(deadline)
            new = True
            self.changed.clear()  # before the look: a change during it is not missed
            snapshot = await look()
            if done(snapshot) or time.monotonic() >= deadline:
                return snapshot

    async def _change(self, deadline: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), min(deadline - time.monotonic(), LOOK_AGAIN_S))


class Changes:
    """Wakes watches by job id. `start` and `stop` belong to the application's lifespan."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._watches: dict[str, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Subscribe, and stay subscribed."""
        self._task = asyncio.create_task(self._listen(), name="changes")

    async def stop(self) -> None:
        """End the subscription."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def watch(self, job: str, *, only_final: bool) -> Iterator[Watch]:
        """Watch a job for the time of the block; it need not exist yet.

        `only_final` spares the looks at changes that cannot end the job.
        """
        watch = Watch(only_final)
        self._watches.setdefault(job, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[job]
            watches.discard(watch)
            if not watches:
                del self._watches[job]

    async def _listen(self) -> None:
        pause_s = 0.1
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(EVENTS_CHANNEL)
                    for watches in self._watches.values():
                        for watch in watches:
                            watch.changed.set()
                    pause_s = 0.1
                    while True:
                        message = await pubsub.get_message(timeout=5.0)
                        if message is not None:
                            self._tell(message["data"].decode())
            except (RedisError, OSError) as error:
                logger.warning("subscription lost", extra={"error": repr(error)})
                await asyncio.sleep(pause_s)
                pause_s = min(2.0, pause_s * 2)

    def _tell(self, event: str) -> None:
        job, status, _ = event.split(" ")
        for watch in self._watches.get(job, ()):
            if not watch.only_final or status in TERMINAL:
                watch.changed.set()

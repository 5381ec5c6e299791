"""Waiting for jobs to change: one Pub/Sub subscription of the process serves every request that waits.

A message is a hint that a job changed; what it is now is always read from the store. Messages lost in a reconnect cost
nothing: all waiters look again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import redis.asyncio
from redis.exceptions import RedisError

from shared.schema import TERMINAL
from shared.store import EVENTS_CHANNEL
from shared.views import Snapshot

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 10.0
"""A waiter looks by itself after this, should the server have dropped a message."""


class _Waiter:
    def __init__(self, only_final: bool) -> None:
        self.changed = asyncio.Event()
        self.only_final = only_final


class Changes:
    """Wakes waiters by job id. `start` and `stop` belong to the application's lifespan."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._waiters: dict[str, set[_Waiter]] = {}
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

    async def wait(
        self,
        job: str,
        look: Callable[[], Awaitable[Snapshot]],
        done: Callable[[Snapshot], bool],
        timeout_s: float,
        *,
        only_final: bool,
    ) -> Snapshot:
        """The first snapshot for which `done` holds, or the last one when `timeout_s` is over.

        `only_final` spares the looks at changes that cannot end the job. Raises whatever `look` raises.
        """
        deadline = time.monotonic() + timeout_s
        waiter = _Waiter(only_final)
        self._waiters.setdefault(job, set()).add(waiter)
        try:
            while True:
                waiter.changed.clear()  # before the look: a change during it is not missed
                snapshot = await look()
                left = deadline - time.monotonic()
                if done(snapshot) or left <= 0:
                    return snapshot
                with suppress(TimeoutError):
                    await asyncio.wait_for(waiter.changed.wait(), min(left, LOOK_AGAIN_S))
        finally:
            waiters = self._waiters[job]
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[job]

    async def _listen(self) -> None:
        pause_s = 0.1
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(EVENTS_CHANNEL)
                    for waiters in self._waiters.values():
                        for waiter in waiters:
                            waiter.changed.set()
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
        for waiter in self._waiters.get(job, ()):
            if not waiter.only_final or status in TERMINAL:
                waiter.changed.set()

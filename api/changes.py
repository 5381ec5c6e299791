"""Waiting for jobs to change: one Pub/Sub subscription of the process serves every request that waits.

A message is a hint that a job changed; what it is now is always read from the store. Nothing is read without a message:
a subscription that is silent is asked whether it lives, and each new one makes all watches look again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from starlette.types import Receive

from api.cancellation import canceled
from shared.errors import SpotterError
from shared.schema import TERMINAL
from shared.store import EVENTS_CHANNEL
from shared.views import Snapshot

logger = logging.getLogger(__name__)

PACE_S = 0.05
"""Between two notices of one job, but for its end, which is told at once: a bulk job changes with every picture."""
ASK_S = 5.0
"""A subscription that was silent for so long is asked; without an answer in as long again it is lost."""
LINGER_S = 5.0
"""While the process drains, who waits for a job's end may wait so long; others are let go at once."""


class Watch:
    """Notices changes of one job from its making on; see `Changes.watch`. `over`: do not wait any more."""

    def __init__(self, only_final: bool) -> None:
        self.changed = asyncio.Event()
        self.only_final = only_final
        self.over = False

    def end(self) -> None:
        """Nobody is to wait here any more."""
        self.over = True
        self.changed.set()

    @contextmanager
    def while_there(self, receive: Receive) -> Iterator[None]:
        """End the watch when the client of the request that `receive` belongs to closes its connection."""
        leaving = asyncio.create_task(self._end_with(receive), name="leaving")
        try:
            yield
        finally:
            leaving.cancel()

    async def _end_with(self, receive: Receive) -> None:
        with suppress(SpotterError):  # a body that nobody asked for, and that is too large besides
            while (await receive())["type"] != "http.disconnect":
                pass
        self.end()

    async def change(self, timeout_s: float) -> bool:
        """Whether the job changed, or the watch was ended, within the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.changed.wait()
        return self.changed.is_set()

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
                await self.change(deadline - time.monotonic())
            new = True
            self.changed.clear()  # before the look: a change during it is not missed
            snapshot = await look()
            if done(snapshot) or self.over or time.monotonic() >= deadline:
                return snapshot


@dataclass
class _Watched:
    """The watches of one job, and when they may be told of it again."""

    watches: set[Watch] = field(default_factory=set)
    not_before: float = 0.0
    later: asyncio.TimerHandle | None = None

    def tell(self, final: bool) -> None:
        """It changed. Changes that do not end it are told `PACE_S` apart, the last of them always."""
        loop = asyncio.get_running_loop()
        if final:
            self._tell_now(True)
        elif self.later is None:
            if loop.time() >= self.not_before:
                self._tell_now(False)
            else:
                self.later = loop.call_at(self.not_before, self._tell_now, False)

    def quiet(self) -> None:
        """Tell nobody later."""
        if self.later is not None:
            self.later.cancel()
            self.later = None

    def _tell_now(self, final: bool) -> None:
        self.quiet()
        self.not_before = asyncio.get_running_loop().time() + PACE_S
        for watch in self.watches:
            if final or not watch.only_final:
                watch.changed.set()


class Changes:
    """Wakes watches by job id. `start` and `stop` belong to the application's lifespan.

    Args:
        draining: set when the process is about to end: then nobody waits any longer than `LINGER_S`.
    """

    def __init__(self, client: redis.asyncio.Redis, draining: asyncio.Event) -> None:
        self._client = client
        self._draining = draining
        self._watched: dict[str, _Watched] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Subscribe, and stay subscribed."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="changes"),
            asyncio.create_task(self._drain(), name="drain"),
        ]

    async def stop(self) -> None:
        """End the subscription."""
        for task in self._tasks:
            await canceled(task)

    @contextmanager
    def watch(self, job: str, *, only_final: bool) -> Iterator[Watch]:
        """Watch a job for the time of the block; it need not exist yet.

        `only_final` spares the looks at changes that cannot end the job.
        """
        watch = Watch(only_final)
        if self._draining.is_set() and not only_final:
            watch.end()
        watched = self._watched.setdefault(job, _Watched())
        watched.watches.add(watch)
        try:
            yield watch
        finally:
            watched.watches.discard(watch)
            if not watched.watches:
                watched.quiet()
                del self._watched[job]

    async def _drain(self) -> None:
        await self._draining.wait()
        self._end(only_final=False)
        await asyncio.sleep(LINGER_S)
        self._end(only_final=True)

    def _end(self, *, only_final: bool) -> None:
        for watched in self._watched.values():
            for watch in watched.watches:
                if watch.only_final == only_final:
                    watch.end()

    async def _listen(self) -> None:
        pause_s = 0.1
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(EVENTS_CHANNEL)
                    pause_s = 0.1
                    await self._hear(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("subscription lost", extra={"error": repr(error)})
                await asyncio.sleep(pause_s)
                pause_s = min(2.0, pause_s * 2)

    async def _hear(self, pubsub: PubSub) -> None:
        """Until the connection is lost; also one that only looks as if it were there (RFC 1122, 4.2.3.6)."""
        asked = False
        while True:
            message = await pubsub.get_message(timeout=ASK_S)
            if message is None:
                if asked:
                    raise redis.ConnectionError(f"no answer in {ASK_S} s")
                await pubsub.ping("there?")
                asked = True
                continue
            asked = False
            if message["type"] == "message":
                self._tell(message["data"].decode())
            elif message["type"] == "subscribe":  # also when redis-py connected again by itself, without a word
                self._tell_all()

    def _tell_all(self) -> None:
        for watched in self._watched.values():
            watched.tell(final=True)

    def _tell(self, event: str) -> None:
        job, status, _ = event.split(" ")
        watched = self._watched.get(job)
        if watched is not None:
            watched.tell(status in TERMINAL)

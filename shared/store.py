"""JobStore: the truth about jobs. It alone knows the server; every operation on it is one script, so each is atomic.

A `Call` says what to do (script, arguments, how to read the reply) and knows no connection: `steps.py` builds those
that change something, `views.py` those that only look. `JobStore` runs calls with blocking I/O (workers, sweeper),
`AsyncJobStore` with asyncio (API). So every operation is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis
import redis.asyncio

from shared.connection import store_errors
from shared.scripts import scripts

T = TypeVar("T")

PREFIX = "spotter:"
EVENTS_CHANNEL = PREFIX + "events"
"""Pub/Sub: `<job id> <status> <version>` after each change of a job. A hint, not a record."""
WORKER_TTL_MS = 20_000
CALLS_AT_ONCE = 32
"""Of one API process. With more the store does no more, and their connections stay open."""
TURN_S = 2.0
"""A call waits so long for its turn: thousands of others are done by then, or the store hangs."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One step on the store: a script with its arguments (less the prefix), and how to read the reply."""

    script: str
    args: tuple[bytes | str | int | float, ...]
    read: Callable[[Any], T]


class JobStore:
    """Runs calls with blocking I/O. Thread-safe."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._scripts: dict[str, Any] = {name: client.register_script(text) for name, text in scripts().items()}

    def run(self, call: Call[T]) -> T:
        """Raises StoreUnavailable, StoreFull, and what the call's own docstring names."""
        with store_errors():
            reply = self._scripts[call.script](args=(PREFIX, *call.args))
        return call.read(reply)

    def await_wake(self, model: str, wait_s: float) -> bool:
        """Block until somebody wakes a thread of `model`, `wait_s` seconds at most; the one thing that is no script,
        since scripts cannot wait. Raises StoreUnavailable.
        """
        with store_errors():
            return self._client.blpop([f"{PREFIX}wake:{model}"], timeout=wait_s) is not None


class AsyncJobStore:
    """Runs calls with asyncio, `CALLS_AT_ONCE` at most: each has a connection of its own, and the server one thread."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)
        self._scripts: dict[str, Any] = {name: client.register_script(text) for name, text in scripts().items()}

    async def run(self, call: Call[T]) -> T:
        """Raises StoreUnavailable (also where no turn comes within `TURN_S`), StoreFull, and what the call's own
        docstring names.
        """
        await self._turn()
        try:
            with store_errors():
                reply = await self._scripts[call.script](args=(PREFIX, *call.args))
        finally:
            self._turns.release()
        return call.read(reply)

    async def _turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        with store_errors():
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()

"""Many that look at the store at once -> one call: whoever asks while a call is under way is in the next one.

So a burst of questions costs a few calls, a lone one waits for nothing, and the same question is asked once for all.
Knows neither jobs nor what is asked of them. Nothing is remembered: every answer is newer than its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MOST = 32
"""Questions in one call: some milliseconds of this process and less than one of the store."""


class Looks(Generic[Key, Value]):
    """`ask` answers a list of questions in one call on the store, in their order."""

    def __init__(self, ask: Callable[[list[Key]], Awaitable[list[Value]]], most: int = MOST) -> None:
        self._ask, self._most = ask, most
        self._waiting: dict[Key, asyncio.Future[Value]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def look(self, key: Key) -> Value:
        """The answer, shared by all who asked the same for the same call. Raises whatever the call raised."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_all(), name="looks")
        return await asyncio.shield(answer)  # one who leaves does not take the answer from the others

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                asked = {key: self._waiting.pop(key) for key in list(islice(self._waiting, self._most))}
                await self._ask_some(asked)
        finally:
            self._asking = None

    async def _ask_some(self, asked: dict[Key, asyncio.Future[Value]]) -> None:
        try:
            answers = await self._ask(list(asked))
            for future, value in zip(asked.values(), answers, strict=True):
                future.set_result(value)
        except Exception as error:  # each who asked gets it
            for future in asked.values():
                if not future.done():
                    future.set_exception(error)
        finally:
            for future in asked.values():
                future.cancel()  # of a call that was canceled; no effect on those that are answered

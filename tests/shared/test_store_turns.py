"""Many calls at once from one event loop: they share few connections, and none waits for its turn without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis

from shared.connection import connect_async
from shared.errors import StoreUnavailable
from shared.store import CALLS_AT_ONCE, TURN_S, AsyncJobStore, JobStore
from shared.views import Snapshot, view
from tests.roles import as_role
from tests.shared.store_samples import accepting, spec

T = TypeVar("T")


def on_a_store(url: str, work: Callable[[AsyncJobStore], Awaitable[T]]) -> T:
    async def run() -> T:
        async with connect_async(as_role(url, "api"), "turns") as client:
            return await work(AsyncJobStore(client))

    return asyncio.run(run())


def test_five_hundred_calls_at_once_are_all_answered_over_few_connections(
    redis_url: str, store: JobStore, client: redis.Redis
) -> None:
    job = spec()
    store.run(accepting(job))

    async def ask(turns: AsyncJobStore) -> tuple[list[list[Snapshot | None]], int]:
        found = await asyncio.gather(*(turns.run(view([job.id], inline_results=1)) for _ in range(500)))
        return found, sum(one["name"] == "spotter-turns" for one in client.client_list())

    found, connections = on_a_store(redis_url, ask)
    assert [one.spec.id for (one,) in found if one] == [job.id] * 500
    assert 1 < connections <= CALLS_AT_ONCE


def test_who_gets_no_turn_is_told_in_time_and_a_store_that_comes_back_serves_all(
    redis_url: str, client: redis.Redis
) -> None:
    pause_s = TURN_S + 1

    async def ask(turns: AsyncJobStore) -> tuple[list[BaseException | list[Snapshot | None]], list[float]]:
        await turns.run(view(["job_x"], inline_results=1))
        client.client_pause(int(1000 * pause_s))
        began, took = time.monotonic(), []

        async def one() -> list[Snapshot | None]:
            try:
                return await turns.run(view(["job_x"], inline_results=1))
            finally:
                took.append(time.monotonic() - began)

        calls = [one() for _ in range(CALLS_AT_ONCE + 20)]
        return await asyncio.gather(*calls, return_exceptions=True), took

    answers, took = on_a_store(redis_url, ask)
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert len(refused) == 20
    assert all(isinstance(one, StoreUnavailable) and one.retry_after_s for one in refused)
    assert sorted(took)[19] == pytest.approx(TURN_S, abs=0.5)
    assert max(took) < pause_s + 1
    assert answers.count([None]) == CALLS_AT_ONCE

"""Watches over a real Pub/Sub: when they look, that no change is missed, and that every wait ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
import redis

from api.changes import Changes, Watch
from shared.connection import connect_async
from shared.store import EVENTS_CHANNEL, JobStore
from shared.views import Snapshot, view
from tests.shared.store_samples import accepting, spec


class Looks:
    """Counts the looks at one job in the store."""

    def __init__(self, store: JobStore, job: str) -> None:
        self.store, self.job, self.count = store, job, 0

    async def __call__(self) -> Snapshot:
        self.count += 1
        (found,) = await asyncio.to_thread(self.store.run, view([self.job], inline_results=1))
        assert found is not None
        return found


def run(redis_url: str, story: Callable[[Changes], Awaitable[None]]) -> None:
    async def told() -> None:
        async with connect_async(redis_url, "test") as client:
            changes = Changes(client, asyncio.Event())
            changes.start()
            subscribed = time.monotonic() + 5
            while (await client.pubsub_numsub(EVENTS_CHANNEL))[0][1] == 0:
                assert time.monotonic() < subscribed
                await asyncio.sleep(0.01)
            await story(changes)
            await changes.stop()

    asyncio.run(told())


@pytest.fixture
def looks(store: JobStore) -> Looks:
    job = spec()
    store.run(accepting(job))
    return Looks(store, job.id)


def test_a_new_job_is_looked_at_after_its_first_change_alone(redis_url: str, client: redis.Redis, looks: Looks) -> None:
    async def story(changes: Changes) -> None:
        with changes.watch(looks.job, only_final=True) as watch:
            client.publish(EVENTS_CHANNEL, f"{looks.job} running 2")
            client.publish(EVENTS_CHANNEL, f"{looks.job} succeeded 3")  # before anybody waits: not missed
            await watch.until(looks, lambda snapshot: True, 5, new=True)
        assert looks.count == 1

    started = time.monotonic()
    run(redis_url, story)
    assert time.monotonic() - started < 4


def test_a_known_job_is_looked_at_at_once_and_after_each_change(
    redis_url: str, client: redis.Redis, looks: Looks
) -> None:
    async def story(changes: Changes) -> None:
        with changes.watch(looks.job, only_final=False) as watch:
            waiting = asyncio.create_task(watch.until(looks, lambda snapshot: looks.count == 3, 5))
            for _ in range(2):
                await _count(looks, looks.count + 1)
                client.publish(EVENTS_CHANNEL, f"{looks.job} running 2")
            await waiting
        assert looks.count == 3

    run(redis_url, story)


@pytest.mark.parametrize(("timeout_s", "new"), [(0, True), (0, False), (0.2, True), (0.2, False)])
def test_a_wait_ends_with_a_last_look(timeout_s: float, new: bool, redis_url: str, looks: Looks) -> None:
    async def story(changes: Changes) -> None:
        with changes.watch(looks.job, only_final=True) as watch:
            started = time.monotonic()
            snapshot = await watch.until(looks, lambda snapshot: False, timeout_s, new=new)
            assert timeout_s <= time.monotonic() - started < timeout_s + 2
        assert snapshot.view.status == "queued"
        assert looks.count >= 1

    run(redis_url, story)


async def _count(looks: Looks, at_least: int) -> None:
    deadline = time.monotonic() + 5
    while looks.count < at_least:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_watches_of_one_job_end_apart(redis_url: str, client: redis.Redis, looks: Looks) -> None:
    async def story(changes: Changes) -> None:
        with changes.watch(looks.job, only_final=True) as outer:
            with changes.watch(looks.job, only_final=True) as inner:
                assert isinstance(inner, Watch)
            client.publish(EVENTS_CHANNEL, f"{looks.job} failed 2")
            await outer.until(looks, lambda snapshot: True, 5, new=True)
        assert looks.count == 1

    run(redis_url, story)


def test_a_new_subscription_makes_everybody_look(redis_url: str, client: redis.Redis, looks: Looks) -> None:
    """What was told while the connection was broken is lost, and the client library mends it without a word."""

    async def story(changes: Changes) -> None:
        for only_final in (False, True):
            with changes.watch(looks.job, only_final=only_final) as watch:
                await asyncio.to_thread(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
                assert await watch.change(5)

    run(redis_url, story)

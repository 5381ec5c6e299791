"""A task that does not end at the first cancel."""

from __future__ import annotations

import asyncio

from api.cancellation import canceled


def test_a_task_that_loses_a_cancel_is_canceled_again() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    async def story() -> None:
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(canceled(task), 10)
        assert task.cancelled()
        await canceled(task)  # one that has ended

    asyncio.run(story())
    assert lost == 2

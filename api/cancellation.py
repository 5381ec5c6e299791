"""The end of a task that belongs to the process, for certain. Knows nothing of what the task does."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.2


async def canceled(task: asyncio.Task[Any]) -> None:
    """Cancel `task` until it has ended: redis-py loses a cancel that comes in the same moment as an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)

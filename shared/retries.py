"""How often and for how long a call on the store's server is tried again, whatever kind of connection it goes over.

In come calls of the client, out go their results or its errors. Short outages and single broken connections are ridden
out; a server that does not answer is a matter of seconds, not of retries times timeouts. Knows no store and no job.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis
import redis.asyncio.retry
import redis.retry
from redis.backoff import ExponentialBackoff

T = TypeVar("T")

TRIES_AGAIN = 3
PATIENCE_S = 6.0
"""A call that has failed is not tried again after this: a socket's timeout and one further try fit into it."""


def _backoff() -> ExponentialBackoff:
    return ExponentialBackoff(cap=0.5, base=0.05)


class Retry(redis.retry.Retry):
    """For blocking clients."""

    def __init__(self) -> None:
        super().__init__(_backoff(), TRIES_AGAIN)

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """As the client's own; raises its last error once the time is over."""
        give_up = time.monotonic() + PATIENCE_S

        def failed(error: Exception, *count: int) -> None:
            fail(error, *count)
            if time.monotonic() > give_up:
                raise error

        return super().call_with_retry(do, failed, is_retryable, with_failure_count)


class AsyncRetry(redis.asyncio.retry.Retry):
    """The same for asyncio."""

    def __init__(self) -> None:
        super().__init__(_backoff(), TRIES_AGAIN)

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """As the client's own; raises its last error once the time is over."""
        give_up = time.monotonic() + PATIENCE_S

        async def done() -> T:
            try:
                return await do()
            except RuntimeError as error:
                # uvloop refuses to write to a connection that the other side has reset (asyncio's own loop fails at
                # the next read), and the client lets that pass.
                if "handler is closed" not in str(error):
                    raise
                raise redis.ConnectionError("The connection was reset.") from error

        async def failed(error: Exception, *count: int) -> None:
            await fail(error, *count)
            if time.monotonic() > give_up:
                raise error

        return await super().call_with_retry(done, failed, is_retryable, with_failure_count)

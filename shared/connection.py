"""The one factory of Redis clients (Valkey speaks the same protocol), and how their failures read in our error tree."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from shared.errors import StoreFull, StoreUnavailable
from shared.retries import AsyncRetry, Retry
from shared.sentinels import is_sentinel, read

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0
SOCKET_TIMEOUT_S = 5.0
RETRY_AFTER_S = 5


_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": 15,
}

_ASKING: dict[str, Any] = {"socket_connect_timeout": 1.0, "socket_timeout": 2.0}
"""Of the connections to Sentinels: one that is gone must not hold up the question to the next."""


def connect(url: str, name: str) -> redis.Redis:
    """A blocking client with bounded waits; `name` shows in `CLIENT LIST`. Opens no connection yet.

    `url` is `redis://`, `rediss://`, or `sentinel://` as `sentinels.py` reads it: then each new connection goes to
    whom the Sentinels call master at that time.

    Raises:
        StartupError: a `sentinel://` that cannot be read.
        ValueError: another scheme.
    """
    told: dict[str, Any] = {"client_name": f"spotter-{name}", "retry": Retry(), **_OPTIONS}
    if not is_sentinel(url):
        return redis.Redis.from_url(url, **told)
    known = read(url)
    asked = redis.sentinel.Sentinel(known.nodes, sentinel_kwargs=known.own_login | _ASKING)
    client: redis.Redis = asked.master_for(known.master, **told, **known.options)
    return client


def connect_async(url: str, name: str) -> redis.asyncio.Redis:
    """The same for asyncio."""
    told: dict[str, Any] = {"client_name": f"spotter-{name}", "retry": AsyncRetry(), **_OPTIONS}
    if not is_sentinel(url):
        return redis.asyncio.Redis.from_url(url, **told)
    known = read(url)
    asked = redis.asyncio.sentinel.Sentinel(list(known.nodes), sentinel_kwargs=known.own_login | _ASKING)
    client: redis.asyncio.Redis = asked.master_for(known.master, **told, **known.options)
    return client


_CANNOT_WRITE = ("MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY ")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the client's exceptions into `StoreUnavailable` and `StoreFull`."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, TimeoutError, OSError) as error:
        raise StoreUnavailable(
            "The job store does not answer; try again shortly.", retry_after_s=RETRY_AFTER_S
        ) from error
    except redis.ResponseError as error:
        # Outside of scripts the client has classes for some of these; inside they are told apart by their first word.
        words = str(error)
        if isinstance(error, redis.OutOfMemoryError) or "OOM " in words:
            raise StoreFull("The job store has no memory left; try again later.", retry_after_s=30) from error
        if isinstance(error, redis.ReadOnlyError) or any(word in words for word in _CANNOT_WRITE):
            raise StoreUnavailable("The job store cannot write now.", retry_after_s=RETRY_AFTER_S) from error
        # Permissions that were taken away, or a fault of ours: never a reason to end a job, so it reads as an outage.
        logger.exception("the store refused a step")
        raise StoreUnavailable("The job store refused a step; try again later.", retry_after_s=30) from error

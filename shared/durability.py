"""What the store's server keeps and what it would drop: its log, when that reaches the disk, its memory and its policy.

Read from `INFO`, and from `CONFIG GET` where the server lets us: managed ones forbid it; then one thing stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from shared.connection import store_errors
from shared.errors import Overloaded, StartupError

KEEPS_ALL = "noeviction"
SECTIONS = ("memory", "persistence")
FSYNC = "appendfsync"


@dataclass(frozen=True)
class Durability:
    """The server as it is set up now.

    Attributes:
        log: whether every change goes to an append-only file. Without one a restart may lose what was accepted.
        fsync: when the log reaches the disk: `always` before the answer, `everysec`, or `no`; None: there is no log, or
            the server does not say.
        policy: what is dropped when memory is full.
        used_bytes: memory of the server.
        most_bytes: its bound; 0: none is set.
    """

    log: bool
    fsync: str | None
    policy: str
    used_bytes: int
    most_bytes: int

    @property
    def evicts(self) -> bool:
        """Whether accepted jobs may be dropped for want of memory."""
        return self.most_bytes > 0 and self.policy != KEEPS_ALL

    @property
    def filled(self) -> float:
        """Share of the memory that is in use; 0 where there is no bound."""
        return self.used_bytes / self.most_bytes if self.most_bytes else 0.0

    def shown(self) -> dict[str, Any]:
        """For `/readyz`."""
        log = "off" if not self.log else self.fsync or "on, fsync unknown"
        return {"append_only_log": log, "when_full": self.policy, "memory_used": round(self.filled, 3)}


def read(info: Mapping[str, Any], config: Mapping[str, Any]) -> Durability:
    """From the sections `SECTIONS` of `INFO`, and `CONFIG GET appendfsync` (empty where it is forbidden)."""
    log = bool(int(info.get("aof_enabled", 0)))
    return Durability(
        log=log,
        fsync=config.get(FSYNC) if log else None,
        policy=str(info.get("maxmemory_policy", "unknown")),
        used_bytes=int(info.get("used_memory", 0)),
        most_bytes=int(info.get("maxmemory", 0)),
    )


async def durability(client: redis.asyncio.Redis) -> Durability:
    """Of this client's server. Raises StoreUnavailable."""
    with store_errors():
        info = await client.info(*SECTIONS)
        try:
            config: dict[Any, Any] = await client.config_get(FSYNC)
        except redis.ResponseError:  # no rights, or no such command
            config = {}
    return read(info, config)


def refuse_eviction(client: redis.Redis) -> None:
    """The one setting of a server that no care of ours makes up for. A server that does not answer yet passes.

    Raises:
        StartupError: the server drops keys when its memory is full.
    """
    try:
        with store_errors():
            found = read(client.info(*SECTIONS), {})
    except Overloaded:
        return
    if found.evicts:
        raise StartupError(
            f"The store drops data when it is full (maxmemory-policy {found.policy}), accepted jobs with it: set "
            f"maxmemory-policy {KEEPS_ALL}."
        )

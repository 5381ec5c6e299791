"""Who calls: the key of a request -> its owner, scopes and limits. Knows the store by `shared/keys.py`, and no route.

A key that was looked up is trusted for `TRUSTED_S`, so most requests ask nothing of the store, and a revoked key is
refused everywhere after that time at the latest. What is not a key, or mistyped, is refused without a look-up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

from shared.errors import Forbidden, StartupError, Unauthorized
from shared.keys import SCOPES, UNLIMITED, KeyRecord, Limits, Scope, key_id, look_up_key
from shared.schema import DEFAULT_OWNER
from shared.store import AsyncJobStore

TRUSTED_S = 4.0
CLOSED = "This service asks for no keys, so it answers on its own machine only; its operator sets SPOTTER_AUTH=keys."
REMEMBERED = 20_000
"""Keys, unknown ones included; with more all are looked up anew."""


@dataclass(frozen=True)
class Caller:
    """Whose request it is, and what it may do and use."""

    owner: str
    scopes: frozenset[Scope]
    limits: Limits


ANYBODY = Caller(DEFAULT_OWNER, frozenset(SCOPES), UNLIMITED)
"""Everybody, where no keys are asked for."""


@dataclass(frozen=True)
class Door:
    """How the service lets callers in.

    Attributes:
        asks_for_keys: else everybody is the default owner, without limits.
        open_to_all: whether that holds for requests from other machines, too.
        limits: those of owners without their own.
    """

    asks_for_keys: bool
    open_to_all: bool
    limits: Limits

    def check(self, host: str) -> None:
        """Raises StartupError: to listen on `host` would let everybody in."""
        if not self.asks_for_keys and not self.open_to_all and not is_loopback(host):
            raise StartupError(
                f"Without keys (SPOTTER_AUTH=off) everybody who reaches {host} could use the service: ask for keys"
                " (SPOTTER_AUTH=keys), listen on 127.0.0.1, or set SPOTTER_AUTH_OFF_ANYWHERE=true."
            )


@cache
def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Keys:
    """Looks callers up, as `door` says."""

    def __init__(self, store: AsyncJobStore, door: Door) -> None:
        self._store, self._door = store, door
        self._known: dict[str, tuple[float, tuple[KeyRecord, Caller] | None]] = {}

    async def caller(self, authorization: str | None, came_to: str) -> Caller:
        """Whose request it is, by its header `Authorization` and the address of ours that it came to.

        Raises:
            Unauthorized: there is no key in it, or none that is valid.
            Forbidden: no keys are asked for, so only this machine is served.
            StoreUnavailable: it cannot be looked up now.
        """
        if not self._door.asks_for_keys:
            if not self._door.open_to_all and not is_loopback(came_to):
                raise Forbidden(CLOSED)
            return ANYBODY
        if not authorization:
            raise _unauthorized(presented=False)
        scheme, _, key = authorization.partition(" ")
        named = key_id(key) if scheme.lower() == "bearer" else None
        if named is None:
            raise _unauthorized(presented=True)
        at, found = self._known.get(named, (-TRUSTED_S, None))
        now = time.monotonic()
        if now - at >= TRUSTED_S:
            found = await self._look_up(named)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[named] = (now, found)  # the time of the question, not of the answer
        if found is None or not found[0].matches(key):
            raise _unauthorized(presented=True)
        return found[1]

    async def _look_up(self, named: str) -> tuple[KeyRecord, Caller] | None:
        record = await self._store.run(look_up_key(named))
        if record is None:
            return None
        scopes = frozenset(SCOPES if "admin" in record.scopes else record.scopes)
        return record, Caller(record.owner, scopes, record.limits.over(self._door.limits))


def _unauthorized(*, presented: bool) -> Unauthorized:
    """RFC 6750, 3: without credentials no error is named."""
    challenge = 'Bearer realm="spotter"' + (', error="invalid_token"' if presented else "")
    return Unauthorized(
        "Send a valid key as `Authorization: Bearer spt_...`; `spotter keys create` makes one.",
        headers={"WWW-Authenticate": challenge},
    )

"""Who calls: the key of a request -> its owner, scopes and limits. Knows the store by `shared/keys.py`, and no route.

A key that was looked up is trusted for `TRUSTED_S`, so most requests ask nothing of the store, and a revoked key is
refused everywhere after that time at the latest. What is not a key, or mistyped, is refused without a look-up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from shared.errors import Unauthorized
from shared.keys import SCOPES, UNLIMITED, KeyRecord, Limits, Scope, key_id, look_up_key
from shared.schema import DEFAULT_OWNER
from shared.store import AsyncJobStore

TRUSTED_S = 4.0
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


class Keys:
    """Looks callers up. `asked`: whether keys are asked for at all; `limits`: those of owners without their own."""

    def __init__(self, store: AsyncJobStore, *, asked: bool, limits: Limits) -> None:
        self._store, self._asked, self._limits = store, asked, limits
        self._known: dict[str, tuple[float, tuple[KeyRecord, Caller] | None]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Whose request it is, by its header `Authorization`.

        Raises:
            Unauthorized: there is no key in it, or none that is valid.
            StoreUnavailable: it cannot be looked up now.
        """
        if not self._asked:
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
        return record, Caller(record.owner, scopes, record.limits.over(self._limits))


def _unauthorized(*, presented: bool) -> Unauthorized:
    """RFC 6750, 3: without credentials no error is named."""
    challenge = 'Bearer realm="spotter"' + (', error="invalid_token"' if presented else "")
    return Unauthorized(
        "Send a valid key as `Authorization: Bearer spt_...`; `spotter keys create` makes one.",
        headers={"WWW-Authenticate": challenge},
    )

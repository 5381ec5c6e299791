"""API keys: how they are written, what the store keeps of them, and the calls that add, look up, list and revoke them.

    spt_<id>_<secret>_<check>   id: 8 characters, names the key in lists and logs
                                secret: 256 random bits as 43 characters, never stored
                                check: CRC-32 of what stands before it; so a mistyped key is refused without a look-up

All in base62. The store has the SHA-256 of the whole key: a random secret of that length needs no slow hash. An owner
may have two active keys, so that one can be exchanged for another without a gap. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import zlib
from typing import Annotated, Literal, get_args

from pydantic import Field

from shared.schema import OwnerName, Strict
from shared.store import Call

Scope = Literal["jobs:read", "jobs:write", "models:write", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""`admin` includes the others."""
ACTIVE_KEYS = 2
MOST_KEYS = 10_000
"""In one store."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 8, 43, 6
KEY = re.compile(rf"spt_([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET}}}_([0-9A-Za-z]{{{_CHECK}}})")


class Limits(Strict):
    """What one owner may use; 0: no bound.

    Attributes:
        rate: jobs a second, over time.
        burst: jobs at once; what is not used comes back at `rate`.
        open_jobs: jobs that have not ended.
        waiting: pictures that nobody has begun.
    """

    rate: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    open_jobs: Annotated[int, Field(ge=0)] = 0
    waiting: Annotated[int, Field(ge=0)] = 0

    def headers(self, left: int, again_s: int) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): the burst, the seconds in which
        it fills, what is left of it, and when there is more.
        """
        window_s = math.ceil(self.burst / self.rate)
        return {
            "RateLimit-Policy": f'"jobs";q={self.burst};w={window_s}',
            "RateLimit": f'"jobs";r={left};t={again_s}',
        }


UNLIMITED = Limits()


class OwnLimits(Strict):
    """What is agreed with one owner where it differs from the service's limits (None: as everybody)."""

    rate: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    open_jobs: Annotated[int, Field(ge=0)] | None = None
    waiting: Annotated[int, Field(ge=0)] | None = None

    def over(self, service: Limits) -> Limits:
        """The service's limits with these in their place."""
        return service.model_copy(update=self.model_dump(exclude_none=True))


class KeyRecord(Strict):
    """What the store keeps of a key. `digest` is its hex SHA-256; times are epoch ms (`expires_ms` None: never)."""

    id: Annotated[str, Field(pattern=rf"^[0-9A-Za-z]{{{_ID}}}$")]
    owner: OwnerName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    created_ms: int
    expires_ms: int | None = None
    limits: OwnLimits = OwnLimits()

    def matches(self, key: str) -> bool:
        """Whether `key` is this one, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(self.digest, digest(key))


def new_key() -> str:
    """A key that nobody has seen."""
    body = f"spt_{_base62(secrets.randbits(47), _ID)}_{_base62(secrets.randbits(256), _SECRET)}"
    return f"{body}_{_check(body)}"


def key_id(key: str) -> str | None:
    """The id in a well-formed key; None for anything else, mistyped keys included."""
    found = KEY.fullmatch(key)
    if found is None or not hmac.compare_digest(found[2], _check(key[: -_CHECK - 1])):
        return None
    return found[1]


def digest(key: str) -> str:
    """What of a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def add_key(record: KeyRecord) -> Call[bool]:
    """Keep a new key. Reads as False when its owner has `ACTIVE_KEYS` active ones already, or the store `MOST_KEYS`."""
    args = (record.id, record.owner, record.model_dump_json(), ACTIVE_KEYS, MOST_KEYS)
    return Call("add_key", args, bool)


def look_up_key(key: str) -> Call[KeyRecord | None]:
    """The record of the key with this id, unless it is expired or revoked; notes that it was used."""
    return Call("look_up_key", (key,), lambda reply: KeyRecord.model_validate_json(reply) if reply else None)


def list_keys() -> Call[list[tuple[KeyRecord, int | None]]]:
    """Every key that was not revoked, by owner and age, and when it was last used (epoch ms; None: never)."""

    def read(reply: list[tuple[bytes, bytes | None]]) -> list[tuple[KeyRecord, int | None]]:
        found = [(KeyRecord.model_validate_json(text), int(used) if used else None) for text, used in reply]
        return sorted(found, key=lambda entry: (entry[0].owner, entry[0].created_ms, entry[0].id))

    return Call("list_keys", (), read)


def revoke_key(key: str) -> Call[bool]:
    """Forget the key with this id. Reads as False where there is none."""
    return Call("revoke_key", (key,), bool)

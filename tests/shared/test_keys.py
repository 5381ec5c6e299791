"""The form of keys, and what the store keeps of them."""

from __future__ import annotations

import json
import zlib

import redis
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import (
    ACTIVE_KEYS,
    KEY,
    KeyRecord,
    Limits,
    OwnLimits,
    add_key,
    digest,
    key_id,
    list_keys,
    look_up_key,
    new_key,
    revoke_key,
)
from shared.store import JobStore

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def record(key: str, owner: str = "shop", **changes: object) -> KeyRecord:
    fields: dict[str, object] = {
        "id": key_id(key), "owner": owner, "scopes": ("jobs:read",), "digest": digest(key), "created_ms": 5,
    }  # fmt: skip
    return KeyRecord.model_validate(fields | changes)


def test_a_key_is_told_from_a_mistyped_one() -> None:
    key = new_key()
    prefix, name, secret, check = key.split("_")
    assert (prefix, len(name), len(secret), len(check)) == ("spt", 8, 43, 6)
    number = 0
    for digit in check:  # by hand: the CRC-32 of what stands before it, in base62
        number = number * 62 + BASE62.index(digit)
    assert number == zlib.crc32(key.rpartition("_")[0].encode())
    assert key_id(key) == name
    assert len({new_key() for _ in range(100)}) == 100


@given(st.integers(0, 62), st.sampled_from(BASE62))
def test_one_wrong_letter_is_noticed(at: int, letter: str) -> None:
    key = "spt_0000abcd_" + "7" * 43
    whole = next(f"{key}_{check}" for check in (_check(key),))
    changed = whole[:at] + letter + whole[at + 1 :]
    assert (key_id(changed) is None) == (changed != whole)


def _check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while len(digits) < 6:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


@given(st.text())
def test_anything_else_is_no_key(text: str) -> None:
    assert key_id(text) is None or KEY.fullmatch(text)


def test_the_store_has_no_secret(store: JobStore, client: redis.Redis) -> None:
    key = new_key()
    assert store.run(add_key(record(key)))
    (kept,) = client.hvals("spotter:keys")
    assert key.split("_")[2] not in str(kept)
    found = store.run(look_up_key(key_id(key) or ""))
    assert found == record(key)
    assert found is not None
    assert found.matches(key)
    assert not found.matches(new_key())


def test_two_active_keys_of_an_owner(store: JobStore) -> None:
    keys = [new_key() for _ in range(5)]
    assert [store.run(add_key(record(key))) for key in keys[:3]] == [True] * ACTIVE_KEYS + [False]
    assert store.run(add_key(record(keys[2], "other")))
    assert store.run(revoke_key(key_id(keys[0]) or ""))
    assert not store.run(revoke_key(key_id(keys[0]) or ""))
    assert store.run(look_up_key(key_id(keys[0]) or "")) is None
    assert store.run(add_key(record(keys[3], expires_ms=1)))
    assert store.run(look_up_key(key_id(keys[3]) or "")) is None, "it has expired"
    assert store.run(add_key(record(keys[4]))), "an expired one does not count"
    assert {one.id for one, _ in store.run(list_keys())} == {key_id(keys[k]) for k in (1, 2, 4)}


def test_the_list_says_when_a_key_was_used(store: JobStore) -> None:
    used, idle = new_key(), new_key()
    for key, owner in ((used, "a"), (idle, "b")):
        store.run(add_key(record(key, owner)))
    store.run(look_up_key(key_id(used) or ""))
    (first, first_used), (second, second_used) = store.run(list_keys())
    assert (first.owner, second.owner) == ("a", "b")
    assert first_used is not None
    assert first_used > 1_600_000_000_000
    assert second_used is None


def test_an_owners_own_limits_go_before_the_services() -> None:
    service = Limits(rate=10.0, burst=20, open_jobs=30, waiting=40)
    assert OwnLimits().over(service) == service
    assert OwnLimits(burst=5, waiting=0).over(service) == Limits(rate=10.0, burst=5, open_jobs=30, waiting=0)
    assert service.headers(7, 3) == {"RateLimit-Policy": '"jobs";q=20;w=2', "RateLimit": '"jobs";r=7;t=3'}
    assert json.loads(OwnLimits(rate=1.0).model_dump_json(exclude_none=True)) == {"rate": 1.0}

"""Keys by command, where the store is reached: `python -m api.keyring create --owner shop`. `spotter keys` asks this.

In: arguments and `SPOTTER_REDIS_URL`. Out: JSON, one line a key; the key itself once, when it is made. One sentence on
stderr and exit code 1 where that cannot be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from shared.connection import connect
from shared.errors import InvalidRequest, SpotterError
from shared.keys import (
    ACTIVE_KEYS,
    SCOPES,
    KeyRecord,
    OwnLimits,
    add_key,
    digest,
    key_id,
    list_keys,
    new_key,
    revoke_key,
)
from shared.schema import rfc3339
from shared.settings import load
from shared.store import JobStore

DAY_MS = 86_400_000


def create(store: JobStore, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Make a key. Raises InvalidRequest: the owner has as many as it may."""
    key, now = new_key(), int(time.time() * 1000)
    try:
        record = KeyRecord(
            id=key_id(key) or "",
            owner=asked.owner,
            scopes=tuple(asked.scope or ("jobs:read", "jobs:write")),
            digest=digest(key),
            created_ms=now,
            expires_ms=now + int(asked.days * DAY_MS) if asked.days else None,
            limits=OwnLimits(rate=asked.rate, burst=asked.burst, open_jobs=asked.open_jobs, waiting=asked.waiting),
        )
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
        raise InvalidRequest(f"Such a key cannot be made: {wrong}.") from None
    if not store.run(add_key(record)):
        raise InvalidRequest(f"{asked.owner} has {ACTIVE_KEYS} active keys: revoke one first.")
    yield {"key": key, **_shown(record, None)}


def show(store: JobStore, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every key that was not revoked."""
    for record, used_ms in store.run(list_keys()):
        yield _shown(record, used_ms)


def revoke(store: JobStore, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Forget a key. Raises InvalidRequest: there is none with this id."""
    if not store.run(revoke_key(asked.id)):
        raise InvalidRequest(f"There is no key with the id {asked.id}.")
    yield {"id": asked.id, "revoked": True}


def _shown(record: KeyRecord, used_ms: int | None) -> dict[str, Any]:
    return {
        "id": record.id,
        "owner": record.owner,
        "scopes": list(record.scopes),
        "created_at": rfc3339(record.created_ms),
        "expires_at": rfc3339(record.expires_ms),
        "last_used_at": rfc3339(used_ms),
        "limits": record.limits.model_dump(exclude_none=True),
    }


COMMANDS: dict[str, Callable[[JobStore, argparse.Namespace], Iterator[dict[str, Any]]]] = {
    "create": create,
    "list": show,
    "revoke": revoke,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api.keyring", description="Make, list and revoke API keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("create", help="make a key; it is shown once")
    made.add_argument("--owner", required=True, help="whose jobs it sends and sees: small letters, digits, - and _")
    made.add_argument("--scope", action="append", choices=SCOPES, help="default: jobs:read and jobs:write")
    made.add_argument("--days", type=float, help="until it expires; default: never")
    made.add_argument("--rate", type=float, help="jobs a second, where the owner's differs from the service's")
    made.add_argument("--burst", type=int, help="jobs at once, likewise")
    made.add_argument("--open-jobs", type=int, help="jobs that have not ended, likewise")
    made.add_argument("--waiting", type=int, help="waiting pictures, likewise")
    commands.add_parser("list", help="show all keys, without their secrets")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("id", help="as in the list")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 not."""
    asked = _parser().parse_args(arguments)
    try:
        with connect(load().redis_url.get_secret_value(), "keyring") as client:
            for line in COMMANDS[asked.command](JobStore(client), asked):
                sys.stdout.write(json.dumps(line) + "\n")
    except SpotterError as error:
        sys.stderr.write(f"keyring: {error.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

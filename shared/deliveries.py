"""Webhook deliveries as their owner sees them: listed, sent again, recovered; tests of endpoints, rotations of secrets.

Calls on the store, and what they read. How attempts are made: `shared/outbox.py`. Knows neither HTTP nor signatures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from shared.errors import DeliveryNotFound, WebhookCallsLimited
from shared.ids import ulid
from shared.observe import redacted
from shared.outbox import LOG_ENTRIES, TEST_EVENT, State, endpoint_of
from shared.refusals import no_such_job
from shared.schema import rfc3339
from shared.store import Call

TEST_KEPT_S = 300
AGAIN_S = 10
"""Between two redeliveries of one delivery."""
MOST_RECOVERED = 1000
MOST_LOOKED_AT = 2000
"""Deliveries looked at for one page of a filtered list."""


class Attempt(BaseModel):
    """One attempt: `status` of the answer (null: none came), and the code of what went wrong (null: delivered)."""

    attempt: int
    at: str
    status: int | None
    latency_ms: float
    error: str | None


class Delivery(BaseModel):
    """One event for one endpoint.

    Attributes:
        id: the `webhook-id` of every attempt.
        url: without user and query, which may hold secrets.
        next_attempt_at: null when it is over.
        attempts: the last 20, oldest first.
    """

    id: str
    job: str
    event: str
    url: str
    state: State
    created_at: str
    next_attempt_at: str | None
    attempts: list[Attempt]


@dataclass(frozen=True)
class Page:
    """Deliveries, and where to go on: (event ms, id) of the last one looked at, None where there is no more."""

    deliveries: list[Delivery]
    last: tuple[int, str] | None


@dataclass(frozen=True)
class Recovered:
    """What a replay of a time range began again, what it could not (the job is no longer kept), and where to go on."""

    sent: int
    lost: int
    next_ms: int | None


def deliveries_of(job: str, owner: str) -> Call[list[Delivery]]:
    """All deliveries of a job. Raises JobNotFound (when run)."""

    def read(reply: list[Any] | bytes) -> list[Delivery]:
        if isinstance(reply, bytes):
            raise no_such_job(job)
        return sorted((_delivery(*row) for row in reply), key=lambda one: one.created_at)

    return Call("deliveries_of", (job, owner), read)


def deliveries(
    owner: str, *, state: State | None, before: tuple[int, str] | None, count: int, most: int = MOST_LOOKED_AT
) -> Call[Page]:
    """Up to `count` of an owner's deliveries, newest event first, from just after `before` (event ms, id)."""
    from_ms, after = before or ("+inf", "")

    def read(reply: list[Any]) -> Page:
        last, ms, rows = reply
        return Page([_delivery(*row) for row in rows], (int(ms), last.decode()) if last else None)

    return Call("deliveries", (owner, state or "", from_ms, after, count, most), read)


def redeliver(job: str, owner: str, name: str) -> Call[None]:
    """Send a delivery again, whatever became of it: now, under its id, with the whole schedule before it.

    Raises (when run): JobNotFound, DeliveryNotFound, WebhookCallsLimited.
    """

    def read(reply: list[int]) -> None:
        if reply[0] == -1:
            raise no_such_job(job)
        if reply[0] == -2:
            raise DeliveryNotFound(f"The job has no delivery {name}: GET /jobs/{job}/deliveries shows those it has.")
        if reply[0] == -3:
            raise too_soon(reply[1])

    return Call("redeliver", (job, owner, name, AGAIN_S * 1000), read)


def recover(owner: str, since_ms: int, until_ms: int, most: int = MOST_RECOVERED) -> Call[Recovered]:
    """Send the failed and disabled deliveries of events from `since_ms` to `until_ms` again.

    Raises WebhookCallsLimited (when run).
    """

    def read(reply: list[int]) -> Recovered:
        if reply[0] == -1:
            raise too_soon(reply[1])
        return Recovered(reply[0], reply[1], reply[2] or None)

    return Call("recover", (owner, since_ms, until_ms, most), read)


def new_test() -> str:
    """A new test's `webhook-id`."""
    return f"test_{ulid()}.{TEST_EVENT}"


def try_hook(owner: str, name: str, url: str) -> Call[None]:
    """Put one attempt of a test into the outbox. Raises WebhookCallsLimited (when run)."""

    def read(early_ms: int) -> None:
        if early_ms:
            raise too_soon(early_ms)

    return Call("try_hook", (owner, name, TEST_EVENT, url, endpoint_of(url), TEST_KEPT_S), read)


def tried_hook(name: str) -> Call[Delivery | None]:
    """A test as it stands; None when it is no longer kept."""
    return Call("tried_hook", (name,), lambda reply: _delivery(name.encode(), reply) if reply else None)


# -- the owner's secret --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rotations:
    """How often an owner's secret was rotated, and until when the one before is valid (epoch ms; 0: never)."""

    count: int
    old_until_ms: int


def rotations(owner: str) -> Call[Rotations]:
    """Of an owner's secret."""
    return Call("secret", (owner,), lambda reply: Rotations(*reply))


def rotate(owner: str, overlap_s: int) -> Call[Rotations]:
    """The next secret; the present one goes on signing beside it for `overlap_s`. Raises WebhookCallsLimited."""

    def read(reply: list[int]) -> Rotations:
        if reply[0] == -1:
            raise too_soon(reply[1])
        return Rotations(*reply)

    return Call("rotate_secret", (owner, overlap_s * 1000), read)


def too_soon(early_ms: int) -> WebhookCallsLimited:
    """The bound on what an owner asks of its webhooks."""
    return WebhookCallsLimited("That is asked for too often; ask again later.", retry_after_s=-(-early_ms // 1000))


def _delivery(name: bytes, fields: Sequence[bytes]) -> Delivery:
    held = {fields[k].decode(): fields[k + 1] for k in range(0, len(fields), 2)}
    made = int(held["made"])
    kept = (n for n in range(max(1, made - LOG_ENTRIES + 1), made + 1) if f"log{n}" in held)
    return Delivery(
        id=name.decode(),
        job=held["job"].decode(),
        event=held["event"].decode(),
        url=redacted(held["url"].decode()),
        state=held["state"].decode(),
        created_at=rfc3339(int(held["at"])) or "",
        next_attempt_at=rfc3339(int(held["next"])) if held["state"] == b"pending" and "next" in held else None,
        attempts=[Attempt.model_validate({"attempt": n, **json.loads(held[f"log{n}"])}) for n in kept],
    )

"""An owner's webhooks: what became of the deliveries, sending them again, testing an endpoint, the secret. Contract:
docs/api.md.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from api.answers import next_link
from api.intake import check_endpoint
from api.keys import Caller
from api.openapi import problems
from api.openapi_examples import example
from api.scopes import Reader, Writer
from api.state import Shared, State
from shared.deliveries import (
    Delivery,
    Rotations,
    deliveries,
    deliveries_of,
    new_test,
    recover,
    redeliver,
    rotate,
    rotations,
    tried_hook,
    try_hook,
)
from shared.errors import FieldError, InvalidRequest, WebhookSecretFixed
from shared.outbox import State as DeliveryState
from shared.schema import DEFAULT_OWNER, NUMBER_ONLY, Moment, Strict, WebUrl, rfc3339
from shared.signing import owner_secret

router = APIRouter(tags=["webhooks"])

CURSOR = r"^\d{1,15}\.[0-9A-Za-z_.-]{1,128}$"
TEST_SPARE_S = 5.0
"""A test waits for the attempt's own timeout, and so long for a worker to begin it."""
ROTATION_S = 86_400
Name = Annotated[str, Path(pattern=r"^[0-9A-Za-z_.-]{1,128}$")]


class DeliveryList(BaseModel):
    """The deliveries of one job, oldest event first."""

    deliveries: list[Delivery]


class DeliveryPage(BaseModel):
    """A page of deliveries, newest event first; `next` is the cursor for `after`, null on the last page."""

    deliveries: list[Delivery]
    next: str | None


class RecoverRequest(Strict):
    """Which failed and disabled deliveries to send again: those of events from `since` on, up to `until`."""

    since: Moment
    until: Moment | None = None


class RecoverAnswer(BaseModel):
    """`sent`: so many begin again. `lost`: of jobs no longer kept. `next_since`: ask on from here; null: all seen."""

    sent: int
    lost: int
    next_since: str | None


class TestRequest(Strict):
    """Where to send a `webhook.test`."""

    url: WebUrl


class TestAnswer(BaseModel):
    """What became of the attempt. `pending`: no worker made it in time.

    Attributes:
        id: its `webhook-id`.
        status: of the endpoint's answer; null when none came.
        error: `http_error`, `fetch_failed`, `fetch_timeout` or `address_forbidden`; null when delivered.
        latency_ms: null when no answer came.
    """

    id: str
    state: DeliveryState
    status: int | None
    error: str | None
    latency_ms: float | None


class RotateRequest(Strict):
    """How long the present secret goes on signing beside the new one; 0: not at all (it has leaked)."""

    overlap_s: Annotated[int, Field(ge=0, le=604_800), NUMBER_ONLY] = ROTATION_S


class Secret(BaseModel):
    """What verifies your webhooks (Standard Webhooks). `previous_until`: till then the one before signs as well."""

    secret: str
    previous_until: str | None


@router.get("/jobs/{job}/deliveries", response_model=DeliveryList, responses=problems(404))
async def list_of_job(state: Shared, caller: Reader, job: str) -> DeliveryList:
    """What was told of the job, to whom, and what came of every attempt."""
    return DeliveryList(deliveries=await state.store.run(deliveries_of(job, caller.owner)))


@router.post(
    "/jobs/{job}/deliveries/{delivery}/redeliver",
    status_code=202,
    response_model=DeliveryList,
    responses=problems(404),
)
async def send_again(state: Shared, caller: Writer, job: str, delivery: Name) -> DeliveryList:
    """Send a delivery again, whatever became of it: now, under its id, with the whole schedule of attempts before it.

    Once in ten seconds. The answer is the job's log as it stands then.
    """
    await state.store.run(redeliver(job, caller.owner, delivery))
    state.waker.wake_deliver()
    return await list_of_job(state, caller, job)


@router.get("/deliveries", response_model=DeliveryPage)
async def list_all(
    request: Request,
    response: Response,
    state: Shared,
    caller: Reader,
    status: Annotated[DeliveryState | None, Query(alias="state")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> DeliveryPage:
    """Deliveries of all your jobs, newest event first: the last 10,000, and 10,000 that failed or are disabled."""
    before = None
    if after is not None:
        ms, _, name = after.partition(".")
        before = (int(ms), name)
    page = await state.store.run(deliveries(caller.owner, state=status, before=before, count=limit))
    following = f"{page.last[0]}.{page.last[1]}" if page.last else None
    if following:
        response.headers["Link"] = next_link(request, state.settings.base_url, "/deliveries", following)
    return DeliveryPage(deliveries=page.deliveries, next=following)


@router.post(
    "/deliveries/recover",
    status_code=202,
    response_model=RecoverAnswer,
    responses=problems(413, 422),
    openapi_extra=example({"since": "2026-01-02T03:00:00Z"}),
)
async def recover_range(state: Shared, caller: Writer, asked: RecoverRequest) -> RecoverAnswer:
    """Send what failed, or found its endpoint disabled, again: 1,000 deliveries a call, oldest event first."""
    until = asked.until or datetime.now(UTC)
    if until < asked.since:
        raise InvalidRequest("Correct until.", errors=(FieldError("until", "it is before since"),))
    done = await state.store.run(recover(caller.owner, _ms(asked.since), _ms(until)))
    if done.sent:
        state.waker.wake_deliver()
    return RecoverAnswer(sent=done.sent, lost=done.lost, next_since=rfc3339(done.next_ms))


@router.post(
    "/webhooks/test",
    response_model=TestAnswer,
    responses=problems(413, 422, 429),
    openapi_extra=example({"url": "https://example.com/hooks"}),
)
async def test_endpoint(state: Shared, caller: Writer, asked: TestRequest) -> TestAnswer:
    """Send a signed `webhook.test` there, once, and say what came of it.

    It goes the way of every webhook: made by a worker, which reaches what it may reach and no more. An endpoint that
    takes it is open again where a 410 had disabled it.
    """
    check_endpoint(asked.url, state.settings, "url")
    name = new_test()
    with state.changes.watch(name, only_final=False) as watch:
        await state.store.run(try_hook(caller.owner, name, asked.url))
        state.waker.wake_deliver()
        with suppress(TimeoutError):
            async with asyncio.timeout(state.settings.webhook_timeout_s + TEST_SPARE_S):
                await watch.changed.wait()
    found = await state.store.run(tried_hook(name))
    if found is None or not found.attempts:
        return TestAnswer(id=name, state="pending", status=None, error=None, latency_ms=None)
    made = found.attempts[-1]
    latency_ms = made.latency_ms if made.status is not None else None
    return TestAnswer(id=name, state=found.state, status=made.status, error=made.error, latency_ms=latency_ms)


@router.get("/webhooks/secret", response_model=Secret, responses=problems(409))
async def show_secret(response: Response, state: Shared, caller: Writer) -> Secret:
    """The secret that your webhooks are signed with. Another owner's is another one."""
    master = _master(state, caller)
    return _secret(response, master, caller, await state.store.run(rotations(caller.owner)))


@router.post(
    "/webhooks/secret/rotate",
    response_model=Secret,
    responses=problems(409, 413, 429),
    openapi_extra=example({"overlap_s": 3600}),
)
async def rotate_secret(
    response: Response, state: Shared, caller: Writer, asked: RotateRequest | None = None
) -> Secret:
    """A new secret. For `overlap_s` (a day) webhooks carry two signatures, of the new and the present one."""
    master = _master(state, caller)
    overlap_s = (asked or RotateRequest()).overlap_s
    return _secret(response, master, caller, await state.store.run(rotate(caller.owner, overlap_s)))


def _master(state: State, caller: Caller) -> str:
    secret = state.settings.webhook_secret
    if secret is None or caller.owner == DEFAULT_OWNER:
        raise WebhookSecretFixed("The operator of this service has it in SPOTTER_WEBHOOK_SECRET, and changes it there.")
    return secret.get_secret_value()


def _secret(response: Response, master: str, caller: Caller, turned: Rotations) -> Secret:
    response.headers["Cache-Control"] = "no-store"
    newest = owner_secret(master, caller.owner, turned.count).split()[0]
    overlaps = turned.old_until_ms > time.time() * 1000
    return Secret(secret=newest, previous_until=rfc3339(turned.old_until_ms) if overlaps else None)


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)

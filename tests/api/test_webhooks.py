"""What owners see and do about their webhooks: log, redelivery, recovery, tests, secret. The tests play the worker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from shared.connection import connect
from shared.outbox import DueDelivery, State, due_hooks, hooks_due, settle_hook
from shared.signing import owner_secret
from shared.store import PREFIX, JobStore
from shared.views import stats
from tests.api.conftest import Serve, Worker
from tests.api.test_owners import bearer, make_key
from tests.roles import as_role
from tests.shared.store_samples import lose_deliveries
from tests.waiting import until
from worker.webhooks import payload, sign

MASTER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = {"url": "https://user:pw@example.com/hook?token=abc", "events": ["job.succeeded"]}


class Outbox:
    """Plays the worker's side of deliveries."""

    def __init__(self, store: JobStore) -> None:
        self.store = store

    def due(self, most: int = 100) -> list[DueDelivery]:
        return self.store.run(due_hooks(most, 30))

    def settle(self, one: DueDelivery, status: int = 200, *, again_s: float | None = None) -> None:
        states: dict[int, State] = {200: "delivered", 410: "disabled"}
        state: State = "pending" if again_s is not None else states.get(status, "failed")
        log = {
            "at": "2026-01-02T03:04:05.678Z", "status": status, "latency_ms": 1.5,
            "error": None if status == 200 else "http_error",
        }  # fmt: skip
        self.store.run(
            settle_hook(
                one, log=json.dumps(log), state=state, next_try_s=again_s, because="gone" if status == 410 else "no"
            )
        )


@pytest.fixture
def outbox(redis_url: str) -> Iterator[Outbox]:
    with connect(as_role(redis_url, "worker"), "test") as client:
        yield Outbox(JobStore(client))


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(auth="keys", webhook_secret=MASTER)


@pytest.fixture
def mine(store: JobStore) -> dict[str, str]:
    return bearer(make_key(store, "mine"))


@pytest.fixture
def theirs(store: JobStore) -> dict[str, str]:
    return bearer(make_key(store, "theirs"))


def told(api: httpx.Client, worker: Worker, headers: dict[str, str], **hook: Any) -> str:
    """A job that ended, with a webhook to be told."""
    made = api.post(
        "/jobs", json={"image": {"url": "https://example.com/a.jpg"}, "webhook": HOOK | hook}, headers=headers
    )
    assert made.status_code == 202
    worker.finish_all()
    return str(made.json()["id"])


def log_of(api: httpx.Client, job: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/jobs/{job}/deliveries", headers=headers).json()["deliveries"]
    return found


def redeliver(api: httpx.Client, job: str, headers: dict[str, str], name: str | None = None) -> httpx.Response:
    return api.post(f"/jobs/{job}/deliveries/{name or job + '.job.succeeded'}/redeliver", headers=headers)


# -- the log ---------------------------------------------------------------------------------------------------------


def test_the_log_says_what_came_of_each_attempt(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str]
) -> None:
    job = told(api, worker, mine)
    (one,) = log_of(api, job, mine)
    assert (one["id"], one["event"], one["state"]) == (f"{job}.job.succeeded", "job.succeeded", "pending")
    assert (one["attempts"], one["next_attempt_at"]) == ([], one["created_at"])
    assert one["url"] == "https://***@example.com/hook?***"
    (due,) = outbox.due()
    outbox.settle(due, 503, again_s=300)
    (one,) = log_of(api, job, mine)
    made = {"attempt": 1, "at": "2026-01-02T03:04:05.678Z", "status": 503, "latency_ms": 1.5, "error": "http_error"}
    assert one["attempts"] == [made]
    wait = datetime.fromisoformat(one["next_attempt_at"]) - datetime.now(UTC)
    assert timedelta(seconds=290) < wait <= timedelta(seconds=300)


def test_the_log_is_bounded(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], client: redis.Redis
) -> None:
    job = told(api, worker, mine)
    for _ in range(25):
        lose_deliveries(client)
        (due,) = outbox.due()
        outbox.settle(due, 500, again_s=1)
    (one,) = log_of(api, job, mine)
    assert [made["attempt"] for made in one["attempts"]] == list(range(6, 26))


def test_the_list_is_bounded_and_takes_what_was_delivered_along(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], client: redis.Redis
) -> None:
    first, second = told(api, worker, mine), told(api, worker, mine)
    for due in outbox.due():
        outbox.settle(due, 200 if due.job == first else 500)
    kept = PREFIX + "deliveries:mine"
    client.zadd(kept, {f"job_{k}.job.succeeded": 10**13 for k in range(9_998)})
    told(api, worker, mine)
    told(api, worker, mine)
    assert client.zcard(kept) == 10_000
    assert log_of(api, first, mine) == [], "it was delivered"
    assert log_of(api, second, mine)[0]["state"] == "failed"
    assert [one["job"] for one in api.get("/deliveries?state=failed", headers=mine).json()["deliveries"]] == [second]


def test_a_job_without_deliveries_has_an_empty_log(api: httpx.Client, worker: Worker, mine: dict[str, str]) -> None:
    job = told(api, worker, mine, events=["job.failed"])
    assert log_of(api, job, mine) == []


# -- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 500, 410])
def test_a_delivery_is_sent_again_under_its_id_whatever_became_of_it(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], status: int
) -> None:
    job = told(api, worker, mine)
    (due,) = outbox.due()
    outbox.settle(due, status)
    assert outbox.due() == []
    answer = redeliver(api, job, mine)
    assert answer.status_code == 202
    assert answer.json()["deliveries"][0]["state"] == "pending"
    (again,) = outbox.due()
    assert (again.name, again.tries, again.at_ms) == (due.name, 0, due.at_ms)
    outbox.settle(again, 200)
    (one,) = log_of(api, job, mine)
    assert (one["state"], [made["status"] for made in one["attempts"]]) == ("delivered", [status, 200])


def test_an_attempt_that_a_redelivery_overtook_decides_nothing(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str]
) -> None:
    job = told(api, worker, mine)
    (first,) = outbox.due()
    assert redeliver(api, job, mine).status_code == 202
    outbox.settle(first, 410)
    (second,) = outbox.due()
    outbox.settle(second, 200)
    (one,) = log_of(api, job, mine)
    assert (one["state"], len(one["attempts"])) == ("delivered", 2)


def test_redeliveries_come_one_by_one(api: httpx.Client, worker: Worker, mine: dict[str, str]) -> None:
    job = told(api, worker, mine)
    assert redeliver(api, job, mine).status_code == 202
    refused = redeliver(api, job, mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "webhook_calls_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10


def test_no_other_owner_sends_it_again_or_sees_it(
    api: httpx.Client, worker: Worker, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    job, other = told(api, worker, mine), told(api, worker, theirs)
    refused = redeliver(api, job, theirs)
    assert (refused.status_code, refused.json()["code"]) == (404, "job_not_found")
    crossed = redeliver(api, other, theirs, f"{job}.job.succeeded")
    assert (crossed.status_code, crossed.json()["code"]) == (404, "delivery_not_found")
    assert redeliver(api, job, mine, f"{job}.job.failed").json()["code"] == "delivery_not_found"
    listed = api.get("/deliveries", headers=theirs).json()["deliveries"]
    assert [one["job"] for one in listed] == [other]


# -- all of an owner -------------------------------------------------------------------------------------------------


def test_deliveries_are_listed_in_pages_by_state(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str]
) -> None:
    jobs = [told(api, worker, mine, url=f"https://{k}.example.com/hook") for k in range(7)]
    status = {job: (200, 500, 410)[k % 3] for k, job in enumerate(jobs)}
    for due in outbox.due():
        outbox.settle(due, status[due.job])
    for state, wanted in ((None, None), ("delivered", 200), ("failed", 500), ("disabled", 410), ("pending", 0)):
        expected = [job for job in reversed(jobs) if wanted in (None, status[job])]
        found, url = [], "/deliveries?limit=2" + (f"&state={state}" if state else "")
        for _ in range(9):
            answer = api.get(url, headers=mine)
            found += [one["job"] for one in answer.json()["deliveries"]]
            if "next" not in answer.links:
                assert answer.json()["next"] is None
                break
            url = answer.links["next"]["url"]
        assert found == expected


def test_a_time_range_is_recovered(api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str]) -> None:
    jobs = [told(api, worker, mine, url=f"https://{k}.example.com/hook") for k in range(4)]
    since = log_of(api, jobs[1], mine)[0]["created_at"]
    for due in outbox.due():
        outbox.settle(due, 200 if due.job == jobs[2] else 500)
    answer = api.post("/deliveries/recover", json={"since": since}, headers=mine)
    assert (answer.status_code, answer.json()) == (202, {"sent": 2, "lost": 0, "next_since": None})
    assert {due.job for due in outbox.due()} == {jobs[1], jobs[3]}
    assert [one["job"] for one in api.get("/deliveries?state=failed", headers=mine).json()["deliveries"]] == jobs[:1]
    backwards = {"since": since, "until": "2020-01-01T00:00:00Z"}
    assert api.post("/deliveries/recover", json=backwards, headers=mine).json()["errors"][0]["field"] == "until"


def test_what_was_told_of_jobs_no_longer_kept_is_lost(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], client: redis.Redis
) -> None:
    job = told(api, worker, mine)
    (due,) = outbox.due()
    outbox.settle(due, 500)
    client.delete(PREFIX + "job:" + job)
    answer = api.post("/deliveries/recover", json={"since": "2026-01-01T00:00:00Z"}, headers=mine)
    assert answer.json() == {"sent": 0, "lost": 1, "next_since": None}
    assert api.get("/deliveries?state=failed", headers=mine).json()["deliveries"][0]["job"] == job


# -- gone ------------------------------------------------------------------------------------------------------------


def test_an_address_that_answers_410_gets_nothing_more(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    first = told(api, worker, mine)
    (due,) = outbox.due()
    outbox.settle(due, 410)
    second, other, elsewhere = (
        told(api, worker, mine),
        told(api, worker, theirs),
        told(api, worker, mine, url="https://example.com/b"),
    )
    assert {due.job for due in outbox.due()} == {other, elsewhere}, "another's, and another address"
    (one,) = log_of(api, second, mine)
    assert (one["state"], one["attempts"], one["next_attempt_at"]) == ("disabled", [], None)
    assert outbox.store.run(stats())["webhooks:disabled"] == 2
    redeliver(api, first, mine)
    (again,) = [due for due in outbox.due() if due.job == first]
    outbox.settle(again, 200)
    third = told(api, worker, mine)
    assert third in {due.job for due in outbox.due()}, "what it took opens it again"


# -- a test ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (404, "failed"), (410, "disabled")])
def test_a_test_answers_with_what_came_of_it(
    api: httpx.Client, store: JobStore, outbox: Outbox, mine: dict[str, str], status: int, state: str
) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            api.post("/webhooks/test", json={"url": "https://example.com/hook"}, headers=mine)
        )
    )
    asking.start()
    until(lambda: store.run(hooks_due()) == 1)
    (due,) = outbox.due()
    assert (due.event, due.owner, due.job) == ("webhook.test", "mine", "")
    outbox.settle(due, status)
    asking.join(10)
    (answer,) = answers
    error = None if status == 200 else "http_error"
    assert answer.json() == {"id": due.name, "state": state, "status": status, "error": error, "latency_ms": 1.5}
    assert outbox.due() == []
    assert api.get("/deliveries", headers=mine).json()["deliveries"] == []


def test_tests_are_bounded_and_checked(serve: Serve, mine: dict[str, str]) -> None:
    api = serve(auth="keys", webhook_secret=MASTER, webhook_timeout_s=0.001)
    plain = api.post("/webhooks/test", json={"url": "http://example.com/hook"}, headers=mine)
    assert (plain.status_code, plain.json()["errors"][0]["field"]) == (422, "url")
    off = serve(auth="keys").post("/webhooks/test", json={"url": "https://example.com/"}, headers=mine)
    assert off.status_code == 422
    assert "SPOTTER_WEBHOOK_SECRET" in off.json()["detail"]
    answers = [api.post("/webhooks/secret/rotate", headers=mine) for _ in range(31)]
    assert [answer.status_code for answer in answers[:30]] == [200] * 30
    refused = api.post("/webhooks/test", json={"url": "https://example.com/"}, headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "webhook_calls_limited")


# -- the secret ------------------------------------------------------------------------------------------------------


def test_each_owner_has_a_secret_and_a_rotation_keeps_the_old_one_for_a_while(
    api: httpx.Client, worker: Worker, outbox: Outbox, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    def signed_for(job: str) -> dict[str, str]:
        (due,) = [due for due in outbox.due() if due.job == job]
        secret = owner_secret(MASTER, due.owner, due.rotations, overlap=due.old_until_ms > 0)
        now = int(datetime.now(UTC).timestamp())
        signature = sign(secret, due.name, now, body)
        return {"webhook-id": due.name, "webhook-timestamp": str(now), "webhook-signature": signature}

    body = payload("job.succeeded", "2026-01-02T03:04:05.678Z", {})
    shown = api.get("/webhooks/secret", headers=mine)
    assert shown.headers["Cache-Control"] == "no-store"
    old, another = shown.json()["secret"], api.get("/webhooks/secret", headers=theirs).json()["secret"]
    assert len({old, another, MASTER}) == 3
    headers = signed_for(told(api, worker, mine))
    Verifier(old).verify(body, headers)
    for stranger in (another, MASTER):
        with pytest.raises(WebhookVerificationError):
            Verifier(stranger).verify(body, headers)

    turned = api.post("/webhooks/secret/rotate", headers=mine).json()
    day = datetime.fromisoformat(turned["previous_until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < day <= timedelta(hours=24)
    assert api.get("/webhooks/secret", headers=mine).json() == turned
    headers = signed_for(told(api, worker, mine, url="https://b.example.com/"))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, turned["secret"]):
        Verifier(secret).verify(body, headers)

    leaked = api.post("/webhooks/secret/rotate", json={"overlap_s": 0}, headers=mine).json()
    assert leaked["previous_until"] is None
    assert api.get("/webhooks/secret", headers=theirs).json()["secret"] == another


def test_the_secret_of_jobs_without_keys_is_the_operators(serve: Serve, store: JobStore) -> None:
    for api, headers in (
        (serve(auth="off", webhook_secret=MASTER), {}),
        (serve(auth="keys", webhook_secret=MASTER), bearer(make_key(store, "default"))),
    ):
        for method, path in (("GET", "/webhooks/secret"), ("POST", "/webhooks/secret/rotate")):
            answer = api.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (409, "webhook_secret_fixed")
            assert "whsec_" not in answer.text


def test_a_key_that_only_reads_learns_no_secret(api: httpx.Client, store: JobStore) -> None:
    reads = bearer(make_key(store, "mine", "jobs:read"))
    assert api.get("/webhooks/secret", headers=reads).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/deliveries/recover", {"since": 0}),
        ("/deliveries/recover", {"since": "1767323045"}),
        ("/webhooks/secret/rotate", {"overlap_s": False}),
        ("/webhooks/secret/rotate", {"overlap_s": "60"}),
        ("/webhooks/secret/rotate", {"overlap_s": 0.5}),
    ],
)
def test_times_are_texts_and_durations_numbers(
    api: httpx.Client, mine: dict[str, str], path: str, body: dict[str, Any]
) -> None:
    answer = api.post(path, json=body, headers=mine)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"body.{next(iter(body))}")

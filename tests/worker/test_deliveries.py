"""Webhooks from the outbox to a real receiver: signed, repeated until taken, and nobody waits for a slow endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from shared.deliveries import Delivery, new_test, tried_hook, try_hook
from shared.outbox import endpoint_of
from shared.schema import JobSpec, Webhook
from shared.signing import owner_secret
from shared.steps import claim, finish
from shared.store import PREFIX, JobStore
from shared.views import stats
from tests.shared.store_samples import BY, accepting, good, lose_deliveries, spec
from tests.waiting import until
from tests.worker.endpoint import Endpoint
from worker.deliveries import Deliveries
from worker.egress import Egress

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Endpoint]:
    receiver = Endpoint()
    yield receiver
    receiver.close()


@pytest.fixture
def deliveries(store: JobStore, receiver: Endpoint) -> Iterator[Deliveries]:
    egress = Egress(timeout_s=5, redirects=0, allow=[ip_network("127.0.0.0/8")])
    made = Deliveries(
        store, egress, secret=SECRET, timeout_s=5, retry_s=(5, 300), allow_http=True,
        base_url="https://spotter.example",
    )  # fmt: skip
    yield made
    receiver.release.set()
    made.stop()


def ended(store: JobStore, url: str, **changes: Any) -> JobSpec:
    job = spec(webhook=Webhook(url=url), **changes)
    store.run(accepting(job))
    (held,) = store.run(claim("m", 1, 30))
    store.run(finish(held, good(), BY))
    return job


def test_a_delivery_is_signed_and_carries_the_job(store: JobStore, receiver: Endpoint, deliveries: Deliveries) -> None:
    job = ended(store, receiver.url("/ok"), metadata={"camera": "7"})
    deliveries.poke()
    until(lambda: store.run(stats()).get("webhooks:delivered") == 1)
    ((headers, body),) = receiver.got["/ok"]
    Verifier(SECRET).verify(body, headers)
    assert headers["webhook-id"] == f"{job.id}.job.succeeded"
    told = json.loads(body)
    assert told["type"] == "job.succeeded"
    assert told["data"]["id"] == job.id
    assert told["data"]["metadata"] == {"camera": "7"}
    assert told["data"]["links"]["self"] == f"https://spotter.example/jobs/{job.id}"
    assert told["timestamp"] == told["data"]["finished_at"]
    deliveries.poke()
    assert len(receiver.got["/ok"]) == 1


def test_a_failure_is_tried_again_on_schedule_with_the_same_id(
    store: JobStore, receiver: Endpoint, deliveries: Deliveries, client: redis.Redis
) -> None:
    job = ended(store, receiver.url("/fail"))
    name = f"{job.id}.job.succeeded"
    for attempt, (shortest, longest) in enumerate(((4.5, 5.5), (270, 330)), start=1):
        deliveries.poke()
        until(lambda attempt=attempt: client.hget(PREFIX + "hook:" + name, "tries") == str(attempt).encode())  # type: ignore[misc]
        due = client.zscore(PREFIX + "hooks:" + endpoint_of(receiver.url("/fail")), name)
        assert isinstance(due, float)
        assert shortest - 1 < due / 1000 - time.time() < longest + 1
        lose_deliveries(client)
    ids = {headers["webhook-id"] for headers, _ in receiver.got["/fail"]}
    assert ids == {name}
    log = json.loads(client.hget(PREFIX + "hook:" + name, "log1") or b"")
    assert (log["status"], log["error"]) == (500, "http_error")


def test_gone_ends_it(store: JobStore, receiver: Endpoint, deliveries: Deliveries, client: redis.Redis) -> None:
    ended(store, receiver.url("/gone"))
    deliveries.poke()
    until(lambda: store.run(stats()).get("webhooks:disabled") == 1)
    assert client.zcard(PREFIX + "hooks") == 0


def test_an_endpoint_that_hangs_delays_no_other(
    store: JobStore, receiver: Endpoint, deliveries: Deliveries, client: redis.Redis
) -> None:
    other = Endpoint()
    for _ in range(200):
        ended(store, receiver.url("/slow"))
    jobs = {ended(store, other.url("/ok")).id for _ in range(200)}
    start = time.monotonic()
    deliveries.poke()
    until(lambda: store.run(stats()).get("webhooks:delivered") == 200)
    assert time.monotonic() - start < 4, "before the first hanging attempt met its timeout"
    assert {headers["webhook-id"] for headers, _ in other.got["/ok"]} == {f"{job}.job.succeeded" for job in jobs}
    assert len(receiver.got["/slow"]) == receiver.most_inside == 8
    other.close()


def test_an_endpoint_in_trouble_has_few_attempts_at_once_until_it_takes_one(
    store: JobStore, receiver: Endpoint, deliveries: Deliveries, client: redis.Redis
) -> None:
    trouble = PREFIX + "trouble:" + endpoint_of(receiver.url("/"))
    receiver.answers["/busy"] = 503
    ended(store, receiver.url("/fail"))
    deliveries.poke()
    until(lambda: client.zcount(PREFIX + "hooks", (time.time() + 4) * 1000, (time.time() + 7) * 1000) == 1)
    assert not client.exists(trouble), "it answers at once"
    ended(store, receiver.url("/busy"))
    deliveries.poke()
    until(lambda: client.exists(trouble) == 1)
    for _ in range(20):
        ended(store, receiver.url("/slow"))
    deliveries.poke()
    until(lambda: receiver.inside == 2)
    deliveries.poke()
    assert len(receiver.got["/slow"]) == 2
    receiver.release.set()
    until(lambda: store.run(stats()).get("webhooks:delivered") == 20)
    assert not client.exists(trouble)


def test_a_large_job_goes_out_without_its_results(store: JobStore, receiver: Endpoint, deliveries: Deliveries) -> None:
    padding = {str(k): "x" * 512 for k in range(16)}
    job = spec(100, webhook=Webhook(url=receiver.url("/ok")), metadata=padding)
    store.run(accepting(job))
    while claims := store.run(claim("m", 16, 30)):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    deliveries.poke()
    until(lambda: len(receiver.got["/ok"]) == 1)
    told = json.loads(receiver.got["/ok"][0][1])
    assert told["data"]["results"] is None
    assert told["data"]["counts"]["succeeded"] == 100


def test_an_owners_webhooks_are_signed_with_its_own_secret_and_for_a_while_with_the_old_one(
    store: JobStore, receiver: Endpoint, deliveries: Deliveries, client: redis.Redis
) -> None:
    def verifies(secret: str) -> bool:
        headers, body = receiver.got["/ok"][-1]
        try:
            Verifier(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    before = ""
    for turned, overlap_s in enumerate((0, 60, -1)):
        until_ms = int((time.time() + overlap_s) * 1000)
        client.hset(PREFIX + "owner:shop", mapping={"secret": turned, "secret_until": until_ms})
        ended(store, receiver.url("/ok"), owner="shop")
        deliveries.poke()
        until(lambda turned=turned: store.run(stats()).get("webhooks:delivered") == turned + 1)  # type: ignore[misc]
        secret = owner_secret(SECRET, "shop", turned)
        assert verifies(secret)
        assert not verifies(SECRET)
        assert not verifies(owner_secret(SECRET, "another", turned))
        assert not before or verifies(before) == (overlap_s > 0)
        before = secret


def test_an_endpoints_test_is_one_signed_attempt_and_disables_nothing(
    store: JobStore, receiver: Endpoint, deliveries: Deliveries
) -> None:
    for path, state in (("/ok", "delivered"), ("/fail", "failed"), ("/gone", "disabled")):
        name = new_test()
        store.run(try_hook("shop", name, receiver.url(path)))
        deliveries.poke()
        until(lambda: tried(store, name).state != "pending")  # noqa: B023
        found = tried(store, name)
        assert (found.state, len(found.attempts)) == (state, 1)
        ((headers, body),) = receiver.got[path]
        Verifier(owner_secret(SECRET, "shop", 0)).verify(body, headers)
        assert json.loads(body)["type"] == "webhook.test"
    receiver.answers["/gone"] = 200
    ended(store, receiver.url("/gone"), owner="shop")
    deliveries.poke()
    until(lambda: len(receiver.got["/gone"]) == 2)


def tried(store: JobStore, name: str) -> Delivery:
    found = store.run(tried_hook(name))
    assert found is not None
    return found

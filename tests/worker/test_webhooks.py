"""Standard Webhooks, checked by the reference package and by the specification's laws."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from shared.errors import StartupError
from shared.outbox import endpoint_of
from shared.settings import Settings
from shared.signing import secret_keys
from tests.worker.raw_server import LOOPBACK, Serve, answer, held, raw_servers
from worker.egress import Egress
from worker.exchange import USER_AGENT
from worker.webhooks import (
    JITTER,
    MAX_RETRY_AFTER_S,
    Outcome,
    deliver,
    next_try,
    payload,
    retry_after,
    sign,
)


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


OLD, NEW = secret_of(b"o" * 24), secret_of(b"n" * 32)
EGRESS = Egress(timeout_s=1, redirects=3, allow=LOOPBACK)
MESSAGE = "job_0123.job.succeeded"
DATA = {"id": "job_0123", "labels": ["Käse", "犬"], "nothing": None}
WHEN = "2026-01-02T03:04:05.678Z"
RETRY_S = Settings().webhook_retry_s


@pytest.fixture
def serve() -> Iterator[Serve]:
    with raw_servers() as start:
        yield start


def attempt(url: str, **options: Any) -> Outcome:
    given = {"secret": NEW, "timeout_s": 2.0, "allow_http": True, **options}
    return deliver(EGRESS, url, MESSAGE, "job.succeeded", WHEN, DATA, **given)


def received(request: bytes) -> tuple[dict[str, str], bytes]:
    head, body = request.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


# -- signing ---------------------------------------------------------------------------------------------------------


def test_the_specifications_own_vector() -> None:
    """From the reference libraries' tests: secret, id, time, body and signature."""
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    key=st.binary(min_size=24, max_size=64),
    at=st.integers(0, 2**33),
    text=st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_signatures_are_the_reference_packages(key: bytes, at: int, text: str) -> None:
    expected = Webhook(secret_of(key)).sign(MESSAGE, datetime.fromtimestamp(at, UTC), text)
    assert sign(secret_of(key), MESSAGE, at, text.encode()) == expected


def test_rotation_signs_with_each_key_and_either_verifies() -> None:
    now, body = int(time.time()), payload("job.failed", WHEN, DATA)
    for joined in (f"{NEW} {OLD}", f"{NEW},{OLD}", f" {NEW}, {OLD} "):
        signature = sign(joined, MESSAGE, now, body)
        assert signature.split(" ") == [sign(NEW, MESSAGE, now, body), sign(OLD, MESSAGE, now, body)]
        headers = {"webhook-id": MESSAGE, "webhook-timestamp": str(now), "webhook-signature": signature}
        for secret in (NEW, OLD):
            Webhook(secret).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret_of(b"x" * 24)).verify(body, headers)


@pytest.mark.parametrize(
    "secret",
    ["", " , ", "whsec_", "b2" * 24, "whsec_!!!!" * 8, secret_of(b"k" * 23), secret_of(b"k" * 65), f"{NEW} plain"],
)
def test_a_malformed_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(StartupError) as caught:
        secret_keys(secret)
    assert len(secret) < 10 or secret not in caught.value.detail


def test_base64_padding_may_be_missing() -> None:
    assert secret_keys(secret_of(b"k" * 25).rstrip("=")) == (b"k" * 25,)


def test_the_service_has_a_few_secrets_at_most() -> None:
    assert Settings(webhook_secret=f"{NEW},{OLD}").webhook_secret is not None
    with pytest.raises(ValueError, match="at most 3"):
        Settings(webhook_secret=" ".join([NEW] * 4))
    with pytest.raises(ValueError, match="24 to 64"):
        Settings(webhook_secret=f"{NEW},whsec_short")


@pytest.mark.parametrize("message_id", ["", "a b", "a\r\nX-Evil: 1", "ä", "a" * 257])
def test_a_malformed_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        sign(NEW, message_id, 1, b"")


# -- delivery --------------------------------------------------------------------------------------------------------


def test_what_arrives_verifies_and_what_is_changed_does_not(serve: Serve) -> None:
    server = serve(answer("HTTP/1.1 204 No Content"))
    outcome = attempt(server.url("/hook"), secret=f"{NEW} {OLD}")
    assert (outcome.status, outcome.http_status, outcome.error) == ("delivered", 204, None)
    assert outcome.latency_ms > 0
    headers, body = received(server.requests[0])
    assert body == payload("job.succeeded", WHEN, DATA)
    assert Webhook(OLD).verify(body, headers) == {"type": "job.succeeded", "timestamp": WHEN, "data": DATA}
    assert (headers["webhook-id"], headers["content-type"]) == (MESSAGE, "application/json")
    assert headers["user-agent"] == USER_AGENT
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 10
    for name, value in (("webhook-id", "other"), ("webhook-timestamp", str(int(time.time()) - 1))):
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(body, {**headers, name: value})
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body.replace(b"job_0123", b"job_0124"), headers)


def test_the_body_is_compact_json() -> None:
    body = payload("job.failed", WHEN, {"a": [1, 2.5]})
    assert body == b'{"type":"job.failed","timestamp":"2026-01-02T03:04:05.678Z","data":{"a":[1,2.5]}}'
    assert json.loads(payload("job.failed", WHEN, DATA))["data"] == DATA
    with pytest.raises(ValueError, match="JSON compliant"):
        payload("job.failed", WHEN, {"a": float("nan")})


@pytest.mark.parametrize(
    ("head", "status", "retry_after_s"),
    [
        ("200 OK", "delivered", None),
        ("299 Fine", "delivered", None),
        ("301 Moved\nLocation: http://127.0.0.1/", "failed", None),
        ("304 Not Modified", "failed", None),
        ("400 Bad\nRetry-After: soon", "failed", None),
        ("410 Gone", "gone", None),
        ("429 Slow\nRetry-After: 120", "failed", 120.0),
        ("503 Busy\nRetry-After: 9999999", "failed", 86_400.0),
    ],
)
def test_statuses(serve: Serve, head: str, status: str, retry_after_s: float | None) -> None:
    server = serve(answer(f"HTTP/1.1 {head}\nContent-Length: 0"))
    outcome = attempt(server.url())
    assert (outcome.status, outcome.http_status) == (status, int(head[:3]))
    assert outcome.error == (None if status == "delivered" else "http_error")
    assert outcome.retry_after_s == retry_after_s
    assert server.accepted == 1


def test_no_answer_is_an_outcome_too(serve: Serve) -> None:
    outcome = attempt(serve(held(b"")).url(), timeout_s=0.3)
    assert (outcome.status, outcome.http_status, outcome.error) == ("failed", None, "fetch_timeout")
    assert 300 <= outcome.latency_ms < 1300
    assert attempt(serve(lambda sock: None).url()).error == "fetch_failed"


def test_closed_addresses_and_plain_http_are_not_connected_to(serve: Serve) -> None:
    server = serve(answer("HTTP/1.1 200 OK\nContent-Length: 0"))
    assert attempt(server.url(), allow_http=False).error == "address_forbidden"
    shut = Egress(timeout_s=1, redirects=0)
    outcome = deliver(shut, server.url(), MESSAGE, "x", WHEN, {}, secret=NEW, timeout_s=1, allow_http=True)
    assert (outcome.status, outcome.error) == ("failed", "address_forbidden")
    assert server.accepted == 0


# -- when to try again -----------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.floats(0, MAX_RETRY_AFTER_S) | st.none(), st.integers())
def test_the_schedule_holds(number: int, asked: float | None, seed: int) -> None:
    delay = next_try(number, Outcome("failed", 503, 1.0, "http_error", asked), RETRY_S, random.Random(seed))
    if number >= 10:
        assert delay is None
        return
    assert delay is not None
    planned = RETRY_S[number - 1]
    assert max(planned * (1 - JITTER), asked or 0) <= delay <= max(planned * (1 + JITTER), asked or 0)


def test_the_schedule_is_the_specifications() -> None:
    assert list(RETRY_S) == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert 75 <= sum(RETRY_S) / 3600 <= 76


def test_the_end_is_the_end() -> None:
    rng = random.Random(1)
    failed = Outcome("failed", 500, 1.0, "http_error")
    assert next_try(1, Outcome("delivered", 200, 1.0), RETRY_S, rng) is None
    assert next_try(1, Outcome("gone", 410, 1.0, "http_error"), RETRY_S, rng) is None
    assert next_try(1, Outcome("failed", None, 1.0, "address_forbidden"), RETRY_S, rng) is not None
    assert next_try(1, failed, (), rng) is None
    spread = {next_try(3, failed, RETRY_S, random.Random(seed)) for seed in range(20)}
    assert len(spread) == 20


@given(st.integers(-200_000, 200_000), st.integers(10**9, 2 * 10**9))
def test_retry_after_as_a_date(offset_s: int, now_s: int) -> None:
    value = format_datetime(datetime.fromtimestamp(now_s + offset_s, UTC), usegmt=True)
    assert retry_after(value, now_s) == min(max(offset_s, 0), MAX_RETRY_AFTER_S)


@given(st.text(max_size=64))
def test_retry_after_survives_any_text(value: str) -> None:
    result = retry_after(value, 1.7e9)
    assert result is None or 0 <= result <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://Hooks.Example/a?b", "https://hooks.example:443"),
        ("https://hooks.example.:443/other", "https://hooks.example:443"),
        ("http://hooks.example", "http://hooks.example:80"),
        ("HTTPS://hooks.example:8443/", "https://hooks.example:8443"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]:443"),
        ("https://h:99999/", "invalid"),
        ("https://[::1", "invalid"),
        ("ftp://h/", "invalid"),
    ],
)
def test_endpoints(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint

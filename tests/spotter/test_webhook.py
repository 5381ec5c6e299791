"""What a receiver believes: signatures come from the reference package, and one bit of difference is one too many."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from spotter import SpotterSignatureError
from spotter.webhook import verify

OLD, NEW = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
BODY = json.dumps({"type": "job.succeeded", "data": {"id": "job_1", "name": "ü"}}).encode()


def headers(
    *secrets: str, body: bytes = BODY, age_s: float = 0, message: str = "job_1.job.succeeded"
) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    signatures = " ".join(Webhook(secret).sign(message, at, body.decode()) for secret in secrets)
    return {
        "Webhook-Id": message,
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signatures,
    }


def test_what_the_reference_package_signed_is_believed() -> None:
    assert verify(BODY, headers(OLD), OLD)["data"]["id"] == "job_1"
    padded = "whsec_" + "A" * 34 + "=="
    assert verify(BODY, headers(padded), padded.rstrip("=")), "padding may be missing, as at the service"


def test_during_a_rotation_either_side_may_be_first() -> None:
    assert verify(BODY, headers(NEW, OLD), OLD)
    assert verify(BODY, headers(OLD), f"{NEW} {OLD}")
    with pytest.raises(SpotterSignatureError, match="No signature"):
        verify(BODY, headers(OLD), NEW)


@pytest.mark.parametrize("age_s", [301 + 1, -301 - 1])
def test_what_is_too_far_from_now_is_refused(age_s: float) -> None:
    assert verify(BODY, headers(OLD, age_s=age_s), OLD, tolerance_s=310)
    with pytest.raises(SpotterSignatureError, match="too far from now"):
        verify(BODY, headers(OLD, age_s=age_s), OLD)


@given(st.integers(0, len(BODY) * 8 - 1))
def test_one_changed_bit_is_noticed(bit: int) -> None:
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SpotterSignatureError):
        verify(bytes(changed), headers(OLD), OLD)


def test_another_id_or_time_is_noticed() -> None:
    whole = headers(OLD)
    for name, value in (("Webhook-Id", "job_2"), ("Webhook-Timestamp", str(int(whole["Webhook-Timestamp"]) - 1))):
        with pytest.raises(SpotterSignatureError):
            verify(BODY, {**whole, name: value}, OLD)


@pytest.mark.parametrize(
    "changes",
    [
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1"},
        {"Webhook-Signature": "v1,***"},
        {"Webhook-Signature": "v1a,AAAA"},
        {"Webhook-Signature": "v1,ü"},
        {"Webhook-Timestamp": "now"},
    ],
)
def test_headers_that_say_nothing_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(SpotterSignatureError):
        verify(BODY, {**headers(OLD), **changes}, OLD)
    with pytest.raises(SpotterSignatureError, match="are needed"):
        verify(BODY, {}, OLD)


@pytest.mark.parametrize("secret", ["", "secret", "whsec_***", "whsec_ü"])
def test_a_secret_that_is_none_is_said_so(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and base64"):
        verify(BODY, headers(OLD), secret)

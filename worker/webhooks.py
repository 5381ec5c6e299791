"""Standard Webhooks 1.0.0, the sender's side: an event goes in, one signed attempt is made, its outcome comes out.

Signing, one delivery, and when to try again. It does not know where events wait, who runs the attempts, or what
`data` means; the same guard as for pictures decides at each attempt whether the address may be reached.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md 1.0.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from shared.errors import SourceError
from shared.signing import secret_keys
from worker.egress import Egress

JITTER = 0.1
"""A delay is moved by up to this share either way, so that what failed together does not come back together."""
MAX_RETRY_AFTER_S = 86_400
MESSAGE_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        status: delivered: a 2xx; gone: 410, the endpoint wants no more; failed: all else, redirects included.
        http_status: None when no answer came.
        latency_ms: of the attempt, answered or not.
        error: None when delivered; `http_error` for a status that is not 2xx, else the code of the error tree
            (`address_forbidden`, `fetch_timeout`, `fetch_failed`).
        retry_after_s: what the endpoint asked for, 0..86400; None where it did not.
    """

    status: Literal["delivered", "failed", "gone"]
    http_status: int | None
    latency_ms: float
    error: str | None = None
    retry_after_s: float | None = None


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The `webhook-signature` header: `v1,<base64 HMAC-SHA256>` over `id.timestamp.body`, one for each key, in order.

    Args:
        message_id: letters, digits, `_`, `-` and `.`. The dot is safe only because no part of an id is the client's.
        timestamp_s: unix seconds of this attempt.

    Raises:
        StartupError: the secret is malformed.
        ValueError: the message id is.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id holds 1 to 256 letters, digits, dots, hyphens and underscores")
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in secret_keys(secret))
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def payload(event_type: str, timestamp: str, data: Mapping[str, object]) -> bytes:
    """The body: compact UTF-8 JSON. These bytes are signed, and these are sent.

    Args:
        timestamp: of the event, not of the attempt; RFC 3339.
    """
    document = {"type": event_type, "timestamp": timestamp, "data": data}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def deliver(
    egress: Egress,
    url: str,
    message_id: str,
    event_type: str,
    timestamp: str,
    data: Mapping[str, object],
    *,
    secret: str,
    timeout_s: float,
    allow_http: bool = False,
) -> Outcome:
    """Make one attempt: sign the body for this second and POST it. What goes wrong out there is an Outcome, no error.

    Args:
        message_id: the same at every attempt of one event; receivers tell doubles by it.
        event_type: `job.succeeded`, ...
        timestamp: of the event, RFC 3339.
        data: the job as JSON would show it; below 20 kB, as the specification advises, is the caller's part.
        secret: one `whsec_...` or several, see `secret_keys`.
        timeout_s: the attempt, whole.
        allow_http: let `http://` through; else it ends as `address_forbidden`.

    Raises:
        StartupError, ValueError: as `sign`.
    """
    start, now_s = time.monotonic(), int(time.time())
    body = payload(event_type, timestamp, data)
    headers = {
        "Content-Type": "application/json",
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(now_s),
        "Webhook-Signature": sign(secret, message_id, now_s, body),
    }
    if not allow_http and not url.lower().startswith("https://"):
        return Outcome("failed", None, 0.0, "address_forbidden")
    try:
        answer = egress.post(url, body, headers, timeout_s=timeout_s)
    except SourceError as error:
        return Outcome("failed", None, (time.monotonic() - start) * 1000, error.code)
    if 200 <= answer.status < 300:
        return Outcome("delivered", answer.status, answer.latency_ms)
    status: Literal["gone", "failed"] = "gone" if answer.status == 410 else "failed"
    return Outcome(status, answer.status, answer.latency_ms, "http_error", retry_after(answer.retry_after, now_s))


def retry_after(value: str | None, now_s: float) -> float | None:
    """Seconds a `Retry-After` asks for (RFC 9110 10.2.3: seconds or an HTTP date), 0..86400; None: none readable."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value), MAX_RETRY_AFTER_S))
    try:
        at = parsedate_to_datetime(value)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.fromtimestamp(now_s, UTC)
    except (ValueError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), float(MAX_RETRY_AFTER_S))


def next_try(attempt: int, outcome: Outcome, retry_s: Sequence[float], rng: random.Random) -> float | None:
    """Seconds until the next attempt; None: there is none: it was delivered, the endpoint is gone, or all are spent.

    A forbidden address is tried again like any failure: names move, a split-horizon answer or an operator's list may
    be wrong for an hour, and a refused attempt connects to nothing.

    Args:
        attempt: how many were made, this one included, from 1.
        outcome: of this one. Its `retry_after_s` can only make the wait longer.
        retry_s: waits before the second attempt, the third, ...; after the last there is none.
    """
    if outcome.status != "failed" or attempt > len(retry_s):
        return None
    delay = retry_s[attempt - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    return max(delay, outcome.retry_after_s or 0.0)

"""For receivers: is a webhook from the service, and what does it say? Standard Webhooks 1.0, signatures `v1`.

Knows no HTTP: a framework's raw body and headers in, what was told out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from spotter.errors import SpotterSignatureError

PREFIX = "whsec_"
TOLERANCE_S = 300.0


def verify(body: bytes, headers: Mapping[str, str], secret: str, tolerance_s: float = TOLERANCE_S) -> dict[str, Any]:
    """What a webhook tells: `type`, `timestamp`, and `data`, which `Job.from_json` reads.

    The same event may come more than once, under the same `webhook-id`: receivers remember the ids that they have seen.

    Args:
        body: as it came, before anything has read it as JSON.
        headers: names in any case.
        secret: `whsec_...`, as `GET /webhooks/secret` has it; several, parted by spaces, during a rotation.
        tolerance_s: how far the sender's clock, or the way here, may be off.

    Raises:
        SpotterSignatureError: it is not from the service, was changed, or is too old.
        ValueError: the secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message, at, signatures = (given[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        age_s = time.time() - int(at)
    except (KeyError, ValueError):
        raise SpotterSignatureError(
            "The headers webhook-id, webhook-timestamp and webhook-signature are needed."
        ) from None
    if abs(age_s) > tolerance_s:
        raise SpotterSignatureError(f"The webhook was sent {age_s:.0f} s ago, which is too far from now.")
    signed = f"{message}.{at}.".encode() + body
    expected = [hmac.new(key, signed, hashlib.sha256).digest() for key in _keys(secret)]
    if not any(hmac.compare_digest(one, other) for one in _signatures(signatures) for other in expected):
        raise SpotterSignatureError("No signature of the webhook is of this secret.")
    told: dict[str, Any] = json.loads(body)
    return told


def _keys(secret: str) -> list[bytes]:
    try:
        parts = secret.split()
        if not parts or not all(part.startswith(PREFIX) for part in parts):
            raise ValueError
        texts = [part.removeprefix(PREFIX) for part in parts]
        return [base64.b64decode(text + "=" * (-len(text) % 4), validate=True) for text in texts]
    except ValueError:
        raise ValueError("a webhook secret is whsec_ and base64") from None


def _signatures(header: str) -> list[bytes]:
    found = []
    for one in header.split():
        version, _, text = one.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except ValueError:
                continue
    return found

"""Which keys sign an owner's webhooks: the service's secret and an owner in, secrets as receivers hold them out.

Every owner has a secret of its own, so that nobody who checks his own webhooks can forge another's. It is not stored,
but derived from the service's (HMAC-SHA256, RFC 2104) with the count of the owner's rotations, which is all that the
store knows. The default owner, whose jobs came without keys, has the service's secret itself: whoever set it has it.
Reasons: docs/decisions/0023-webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from shared.errors import StartupError
from shared.schema import DEFAULT_OWNER

SECRET_BYTES = (24, 64)
SECRET_PREFIX = "whsec_"  # noqa: S105 (the prefix of a secret, not one)
MOST_SECRETS = 3
"""Of the service, at once: each is one more signature in a header."""


def secret_keys(secret: str) -> tuple[bytes, ...]:
    """The keys in a secret: `whsec_` + base64 of 24..64 bytes; several, parted by spaces or commas, during a rotation.

    Raises:
        StartupError: there is none, or one is malformed. The text never shows it.
    """
    keys = []
    for part in secret.replace(",", " ").split():
        text = part.removeprefix(SECRET_PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if text == part or not SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]:
            raise StartupError("each webhook secret is whsec_ and the base64 of 24 to 64 random bytes")
        keys.append(key)
    if not keys:
        raise StartupError("there is no webhook secret in it")
    return tuple(keys)


def written(key: bytes) -> str:
    """A key as receivers hold it: `whsec_` + base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def owner_secret(secret: str, owner: str, rotations: int, *, overlap: bool = False) -> str:
    """What signs the webhooks of `owner`: one secret or several, parted by spaces, the newest first.

    Args:
        secret: the service's, one or several (`secret_keys`).
        rotations: how often the owner's was rotated, from 0.
        overlap: the one before the last rotation signs as well.

    Raises:
        StartupError: the service's secret is malformed.
    """
    keys = secret_keys(secret)
    if owner == DEFAULT_OWNER:
        return " ".join(map(written, keys))
    counts = (rotations, rotations - 1) if overlap and rotations else (rotations,)
    return " ".join(written(_derived(key, owner, count)) for key in keys for count in counts)


def _derived(key: bytes, owner: str, rotations: int) -> bytes:
    # No signed message begins like this (they begin with an id), so no signature is ever a key.
    return hmac.new(key, f"spotter webhook secret\n{owner}\n{rotations}".encode(), hashlib.sha256).digest()

"""`Idempotency-Key`: the header read, what counts as the same body, and who has such a request under way here.

The key itself is kept by the accept, in the same step of the store that takes the job in: a job is there with its key
or not at all, whatever is killed in between (draft-ietf-httpapi-idempotency-key-header-07).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from api.bodies import Submission
from shared.errors import FieldError, IdempotencyInFlight, InvalidRequest
from shared.schema import UploadSource

HEADER = "Idempotency-Key"
LONGEST = 255
AGAIN_S = 1


def read_key(value: str | None) -> str | None:
    """The header's value; None: there is none. Raises InvalidRequest: empty, too long, or not printable ASCII."""
    if value is None:
        return None
    if not 0 < len(value) <= LONGEST or not (value.isascii() and value.isprintable()):
        reason = f"1 to {LONGEST} printable ASCII characters"
        raise InvalidRequest(f"Correct {HEADER}: {reason}.", errors=(FieldError(HEADER, reason),))
    return value


def fingerprint(submission: Submission) -> str:
    """32 hexadecimal digits, equal for equal jobs: the fields as checked, and the bytes of pictures that came along.

    So the spelling of the JSON and the boundary of a form do not matter, which a client chooses anew at each try.
    """
    rest = submission.request.model_dump_json(exclude={"image", "images"})
    digest = hashlib.sha256(f"{rest}{submission.request.images is None}".encode())
    for source in submission.sources:
        text = source.model_dump_json()
        if isinstance(source, UploadSource) and (sent := _sent(submission, source.upload)):
            text = f"{source.id} {sent}"
        digest.update(f"\n{text}".encode())
    return digest.hexdigest()[:32]


def _sent(submission: Submission, upload: str) -> str | None:
    """SHA-256 of a picture that came along; None where it is one that was stored before."""
    if upload in submission.uploads:
        return hashlib.sha256(submission.uploads[upload]).hexdigest()
    return submission.archive.digests.get(upload) if submission.archive else None


class InFlight:
    """The keys of requests that this process has begun to read and not yet taken in."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()

    @contextmanager
    def holding(self, owner: str, key: str | None) -> Iterator[None]:
        """For the time of the block. Raises IdempotencyInFlight: another request of this key is in its block."""
        if key is None:
            yield
            return
        if (owner, key) in self._keys:
            raise IdempotencyInFlight("The first request with this key is not answered yet.", retry_after_s=AGAIN_S)
        self._keys.add((owner, key))
        try:
            yield
        finally:
            self._keys.discard((owner, key))

"""A manifest in S3 -> the pictures that it lists, before their job is accepted: wrong lines are told at once.

The API reads it, with the operator's own rights, and only from the buckets that `s3://` may name; no worker has to.
Blocking reads have threads of their own, so that an S3 that hangs delays nobody else.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from shared.errors import FetchFailed, FetchTimeout, FieldError, InvalidRequest, SourceError, StoreUnavailable
from shared.s3 import S3Place, connect_s3, read_object, s3_place, split_url
from shared.settings import Settings
from shared.sources import Manifest, S3Source, UrlSource

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

AT_ONCE = 4
"""Manifests that one process reads side by side; others wait for their turn, as long as theirs may take."""
MOST_ERRORS = 50
RETRY_AFTER_S = 5
WRONG_LINE = 'not {"url": "https://..."} or {"s3": "s3://bucket/key"}, with an id of 1 to 200 characters or none'

_LINE: TypeAdapter[UrlSource | S3Source] = TypeAdapter(UrlSource | S3Source)


class Manifests:
    """Reads manifests.

    Args:
        place: which S3.
        buckets: that may be named; none: there are no manifests here.
        timeout_s: one manifest, whole.
        max_bytes: likewise.
    """

    def __init__(self, place: S3Place, buckets: tuple[str, ...], timeout_s: float, max_bytes: int) -> None:
        self._place, self._buckets, self._timeout_s, self._max_bytes = place, buckets, timeout_s, max_bytes
        self._threads = ThreadPoolExecutor(AT_ONCE, "manifests")
        self._client: S3Client | None = None

    async def read(self, manifest: Manifest, most: int) -> tuple[UrlSource | S3Source, ...]:
        """Its pictures in order, 1..`most` of them.

        Raises:
            InvalidRequest: it is not there or not open to us, is too large, or lines of it are wrong.
            StoreUnavailable: S3 did not give it.
        """
        until = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._read, manifest.s3, most, until
                )
        except (FetchFailed, FetchTimeout, TimeoutError) as error:
            why = error.detail if isinstance(error, SourceError) else "S3 did not answer in the time allowed."
            raise StoreUnavailable(f"The manifest cannot be read: {why}", retry_after_s=RETRY_AFTER_S) from error
        except SourceError as error:
            raise _refused(error.detail) from error

    def close(self) -> None:
        """No more are read."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, url: str, most: int, until: float) -> tuple[UrlSource | S3Source, ...]:
        def still() -> None:
            if time.monotonic() > until:
                raise FetchTimeout("S3 did not answer in the time allowed.")

        still()  # it may have waited for its turn
        bucket, key = split_url(url, self._buckets)
        if self._client is None:  # two threads at once: one of two clients is kept, both work
            self._client = connect_s3(self._place, timeout_s=self._timeout_s, connections=AT_ONCE)
        return listed(read_object(self._client, bucket, key, self._max_bytes, still, "manifest"), most)


def manifests(settings: Settings) -> Manifests:
    """Those that the settings allow."""
    return Manifests(s3_place(settings), settings.s3_buckets, settings.fetch_timeout_s, settings.max_body_bytes)


def listed(text: bytes, most: int) -> tuple[UrlSource | S3Source, ...]:
    """The lines of a manifest; empty ones count for nothing but the line's number. Raises InvalidRequest."""
    found: list[UrlSource | S3Source] = []
    errors: list[FieldError] = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        if len(found) == most:
            raise _refused(f"a job may hold {most} pictures at most")
        try:
            found.append(_LINE.validate_json(line))
        except ValidationError:
            errors.append(FieldError(f"manifest.{number}", WRONG_LINE))
            if len(errors) == MOST_ERRORS:
                break
    if errors:
        raise InvalidRequest("Correct these lines of the manifest and send the job again.", errors=tuple(errors))
    if not found:
        raise _refused("it lists no picture")
    return tuple(found)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest("Correct the manifest and send the job again.", errors=(FieldError("manifest.s3", reason),))

"""Uploads and drawn pictures in S3, for those too large for the store. Small ones go with the job's own script calls.

A reader asks the store first and then here, so a stored picture's name says nothing of where it lies. The bucket's
lifecycle rule ends these objects: docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.errors import StoreUnavailable
from shared.s3 import connect_s3, s3_place
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

S3_DELETES = 1000
"""Keys in one DeleteObjects (AWS)."""


def drawn_blob(job: str, index: int) -> str:
    """Name of the annotated picture `index` of a job."""
    return f"drawn_{job}_{index}"


class LargeBlobs:
    """Stored pictures above `inline_bytes`, in one bucket. Blocking; thread-safe."""

    def __init__(self, client: S3Client, bucket: str, inline_bytes: int) -> None:
        self._client, self._bucket, self._inline_bytes = client, bucket, inline_bytes

    def takes(self, data: bytes) -> bool:
        """Whether these bytes belong here; else they go into the store."""
        return len(data) > self._inline_bytes

    def put(self, name: str, data: bytes) -> None:
        """Raises StoreUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self._bucket, Key=f"spotter/{name}", Body=data)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable() from error

    def has(self, name: str) -> bool:
        """Whether there are bytes of this name. Raises StoreUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.head_object(Bucket=self._bucket, Key=f"spotter/{name}")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "NotFound", "404"):
                return False
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Those that are there are gone. Raises StoreUnavailable: some may be there still."""
        from botocore.exceptions import BotoCoreError, ClientError

        for first in range(0, len(names), S3_DELETES):
            keys: list[ObjectIdentifierTypeDef] = [
                {"Key": f"spotter/{name}"} for name in names[first : first + S3_DELETES]
            ]
            try:
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys, "Quiet": True})
            except (BotoCoreError, ClientError) as error:
                raise _unavailable() from error
            if answer.get("Errors"):
                raise _unavailable()

    def get(self, name: str) -> bytes | None:
        """The bytes, or None when there are none. Raises StoreUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._client.get_object(Bucket=self._bucket, Key=f"spotter/{name}")["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return None
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("The picture store does not answer; try again shortly.", retry_after_s=5)


def large_blobs(settings: Settings) -> LargeBlobs | None:
    """The bucket that the settings name; None where the store keeps everything."""
    if settings.blob_bucket is None:
        return None
    return LargeBlobs(connect_s3(s3_place(settings)), settings.blob_bucket, settings.blob_inline_bytes)

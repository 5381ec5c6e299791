"""The one factory of S3 clients, for picture sources, manifests and stored pictures alike, and the one bounded read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from shared.errors import FetchFailed, FetchTimeout, SourceDisabled, SourceNotFound, SourceTooLarge
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CHUNK_BYTES = 262_144
KEY_BYTES = 1024
"""AWS: "The name for a key is a sequence of Unicode characters whose UTF-8 encoding is at most 1,024 bytes"."""
NO_SUCH_KEY = frozenset({"NoSuchKey", "NoSuchVersion", "404"})


@dataclass(frozen=True)
class S3Place:
    """Which S3. None: AWS for `endpoint`, else boto3's own chain (environment, profile, instance role)."""

    endpoint: str | None = None
    region: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None


def s3_place(settings: Settings) -> S3Place:
    """The S3 that the settings name."""
    return S3Place(settings.s3_endpoint, settings.s3_region, settings.s3_access_key, settings.s3_secret_key)


def connect_s3(place: S3Place, *, timeout_s: float = 10.0, connections: int = 32) -> S3Client:
    """A thread-safe client with bounded waits: `timeout_s` for a connect and for each read. Opens no connection."""
    import boto3  # importing it takes longer than starting a worker may: only where S3 is used
    from botocore.config import Config

    config = Config(
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=connections,
        # Stores that are not AWS rarely have a DNS name a bucket.
        s3={"addressing_style": "path" if place.endpoint else "auto"},
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=place.access_key.get_secret_value() if place.access_key else None,
        aws_secret_access_key=place.secret_key.get_secret_value() if place.secret_key else None,
        config=config,
    )


def split_url(url: str, buckets: Collection[str]) -> tuple[str, str]:
    """`s3://bucket/key` -> bucket and key.

    Raises:
        SourceDisabled: the bucket is not one of `buckets`.
        SourceNotFound: there can be no such key.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not buckets:
        raise SourceDisabled("No bucket is opened on this service (SPOTTER_S3_BUCKETS).")
    if bucket not in buckets:
        raise SourceDisabled("This bucket is not opened on this service (SPOTTER_S3_BUCKETS).")
    if len(key.encode()) > KEY_BYTES:
        raise SourceNotFound(f"An S3 key has at most {KEY_BYTES} bytes.")
    if not {".", ".."}.isdisjoint(key.split("/")):
        # A store, or a proxy before it, that tidies up paths would find another bucket there.
        raise SourceNotFound("An S3 key has no '.' or '..' between slashes here.")
    return bucket, key


def read_object(
    client: S3Client, bucket: str, key: str, max_bytes: int, still: Callable[[], object], what: str = "picture"
) -> bytes:
    """One GetObject, refused by its ContentLength before a byte is read, and cut off at `max_bytes` + 1 anyway.

    Args:
        still: called after each chunk; raises where time is up.
        what: it is, for the error's text.

    Raises SourceNotFound, SourceTooLarge, FetchFailed, FetchTimeout.
    """
    from botocore.exceptions import (  # not at the top: see connect_s3
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        ReadTimeoutError,
    )

    too_large = SourceTooLarge(f"The {what} has more than {max_bytes} bytes.")
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        # `closing`, because the body's own `__enter__` gives urllib3's stream, which counts and checks nothing.
        with closing(answer["Body"]) as stream:
            if answer.get("ContentLength", 0) > max_bytes:
                raise too_large
            data = bytearray()
            while chunk := stream.read(CHUNK_BYTES):
                data += chunk
                still()
                if len(data) > max_bytes:
                    raise too_large
            return bytes(data)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in NO_SUCH_KEY:
            raise SourceNotFound("The bucket has no such key.") from error
        raise FetchFailed("S3 refused to give the object.") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise FetchTimeout("S3 did not answer in the time allowed.") from error
    except (BotoCoreError, OSError) as error:
        raise FetchFailed("S3 could not be reached, or it broke off.") from error

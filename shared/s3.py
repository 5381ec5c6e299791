"""The one factory of S3 clients, for picture sources and stored pictures alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


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

"""The one factory of S3 clients, for picture sources and stored pictures alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def connect_s3(
    endpoint: str | None, region: str | None, access_key: SecretStr | None, secret_key: SecretStr | None
) -> S3Client:
    """A client with bounded waits. Without keys boto3 looks for credentials in its own way. Opens no connection."""
    import boto3  # takes a third of a second: only where S3 is configured
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key.get_secret_value() if access_key else None,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        config=Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 2, "mode": "standard"}),
    )

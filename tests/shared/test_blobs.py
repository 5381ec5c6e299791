"""Large uploads lie in S3: put by the API, found by whoever asks, and an S3 that is away is an overload, not a loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from shared.blobs import LargeBlobs, large_blobs
from shared.errors import StoreUnavailable
from shared.s3 import S3Place, connect_s3, s3_place
from shared.settings import Settings
from spotter.address import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore.*")


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = Settings(
        s3_endpoint=f"http://{host}:{port}",
        s3_region="us-east-1",
        s3_access_key="k",
        s3_secret_key="s",
        blob_bucket="blobs",
        blob_inline_bytes=10,
    )
    connect_s3(s3_place(settings)).create_bucket(Bucket="blobs")
    yield settings
    server.stop()


def test_what_is_put_is_found_and_nothing_else(settings: Settings) -> None:
    blobs = large_blobs(settings)
    assert blobs is not None
    assert not blobs.takes(b"0123456789")
    assert blobs.takes(b"0123456789a")
    blobs.put("upl_a", b"\x00\xff" * 100)
    assert blobs.get("upl_a") == b"\x00\xff" * 100
    assert blobs.get("upl_b") is None


def test_without_a_bucket_the_store_keeps_everything() -> None:
    assert large_blobs(Settings()) is None


def test_an_s3_that_is_away_is_an_overload(settings: Settings) -> None:
    place = S3Place(f"http://127.0.0.1:{free_port()}", "us-east-1", settings.s3_access_key, settings.s3_secret_key)
    blobs = LargeBlobs(connect_s3(place, timeout_s=1), "blobs", 0)
    with pytest.raises(StoreUnavailable):
        blobs.put("x", b"y")
    with pytest.raises(StoreUnavailable):
        blobs.get("x")

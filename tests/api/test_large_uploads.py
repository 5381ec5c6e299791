"""Uploads that are too large for the store, in a real S3 server (moto). Of kept ones a place in the list comes first.

Whatever goes wrong, there is nothing in the bucket that nobody may name, and nothing in the list that is not there.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from shared.blobs import LargeBlobs
from shared.s3 import S3Place, connect_s3
from shared.store import PREFIX, AsyncJobStore, Call, T
from spotter.address import free_port
from tests.api.conftest import Serve

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore.*")

LARGE = b"x" * 2000
JPEG = {"content-type": "image/jpeg"}
LIST = PREFIX + "kept:default"


class Bucket:
    """A bucket of a server that listens here, and the settings that name it."""

    def __init__(self, client: S3Client, endpoint: str) -> None:
        self._client = client
        self.settings: dict[str, object] = {
            "s3_endpoint": endpoint, "s3_region": "us-east-1", "s3_access_key": "k", "s3_secret_key": "s",
            "blob_bucket": "blobs", "blob_inline_bytes": 1000,
        }  # fmt: skip

    def names(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket="blobs").get("Contents", [])
        return [one["Key"].removeprefix("spotter/") for one in found]

    def empty(self) -> None:
        for name in self.names():
            self._client.delete_object(Bucket="blobs", Key=f"spotter/{name}")


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    bucket = Bucket(connect_s3(S3Place(endpoint, "us-east-1", SecretStr("k"), SecretStr("s"))), endpoint)
    bucket._client.create_bucket(Bucket="blobs")
    yield bucket
    server.stop()


@pytest.fixture
def bucket(server: Bucket) -> Iterator[Bucket]:
    yield server
    server.empty()


def send(api: httpx.Client, **query: Any) -> httpx.Response:
    return api.post("/uploads", content=LARGE, headers=JPEG, params=query)


def test_it_is_kept_for_its_whole_time_once_its_bytes_are_there(
    serve: Serve, bucket: Bucket, client: redis.Redis
) -> None:
    api = serve(**bucket.settings)
    sent = send(api, keep_s=3600)
    assert sent.status_code == 201, sent.text
    upload = sent.json()
    assert bucket.names() == [upload["id"]]
    assert client.keys(PREFIX + "blob:*") == []
    assert datetime.fromisoformat(upload["expires_at"]).timestamp() == pytest.approx(time.time() + 3600, abs=5)
    assert api.get(f"/uploads/{upload['id']}").json() == upload
    assert api.post("/jobs", json={"image": {"upload": upload["id"]}}).status_code == 202
    assert api.delete(f"/uploads/{upload['id']}").status_code == 204
    assert bucket.names() == []


def test_what_the_quota_refuses_leaves_nothing_in_the_bucket(serve: Serve, bucket: Bucket) -> None:
    api = serve(owner_upload_bytes=3000, **bucket.settings)
    first = send(api).json()["id"]
    over = send(api)
    assert (over.status_code, over.json()["code"]) == (429, "upload_quota_exceeded")
    assert bucket.names() == [first]


def test_an_s3_that_is_away_leaves_nothing_in_the_list(serve: Serve, bucket: Bucket, client: redis.Redis) -> None:
    api = serve(**bucket.settings | {"s3_endpoint": f"http://127.0.0.1:{free_port()}"})
    away = send(api)
    assert (away.status_code, away.json()["code"]) == (503, "store_unavailable")
    assert client.zcard(LIST) == 0
    assert client.hgetall(PREFIX + "sizes:default") in ({}, {b"": b"0"})


def test_a_process_that_ends_before_the_bytes_are_there_has_reserved_a_minute(
    serve: Serve, bucket: Bucket, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, held = LargeBlobs.put, []

    def look_and_put(blobs: LargeBlobs, name: str, data: bytes) -> None:
        held.append((client.zscore(LIST, name), client.pttl(LIST), bucket.names()))
        put(blobs, name, data)

    monkeypatch.setattr(LargeBlobs, "put", look_and_put)
    began_ms = time.time() * 1000
    assert send(serve(**bucket.settings), keep_s=86_400).status_code == 201
    ((ends_ms, list_ms, there),) = held
    assert ends_ms == pytest.approx(began_ms + 60_000, abs=5000)
    assert list_ms <= 60_000, "and then the list itself is gone"
    assert there == []


def test_one_that_took_longer_than_that_is_taken_out_of_the_bucket(
    serve: Serve, bucket: Bucket, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LargeBlobs.put

    def put_slowly(blobs: LargeBlobs, name: str, data: bytes) -> None:
        put(blobs, name, data)
        assert bucket.names() == [name]
        client.zadd(LIST, {name: 1})  # its minute is over

    monkeypatch.setattr(LargeBlobs, "put", put_slowly)
    late = send(serve(**bucket.settings))
    assert (late.status_code, late.json()["code"]) == (503, "service_busy")
    assert bucket.names() == []
    assert client.zcard(LIST) == 0


@pytest.mark.parametrize("form", ["raw", "zip"])
def test_a_job_that_is_refused_leaves_nothing_in_the_bucket(serve: Serve, bucket: Bucket, form: str) -> None:
    api = serve(queue_limit=1, **bucket.settings)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.jpg", LARGE)
    body, kind = (LARGE, "image/jpeg") if form == "raw" else (packed.getvalue(), "application/zip")
    assert api.post("/jobs", content=body, headers={"content-type": kind}).status_code == 202
    before = bucket.names()
    assert len(before) == 1
    refused = api.post("/jobs", content=body, headers={"content-type": kind})
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
    assert bucket.names() == before


def test_a_job_whose_accept_was_answered_at_the_second_try_has_its_bytes(
    serve: Serve, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store took the job in, its reply was lost, and the client of the store asked again by itself."""
    run = AsyncJobStore.run

    async def twice(store: AsyncJobStore, call: Call[T]) -> T:
        if call.script == "accept":
            await run(store, call)
        return await run(store, call)

    monkeypatch.setattr(AsyncJobStore, "run", twice)
    api = serve(**bucket.settings)
    assert api.put("/jobs/job_mine", content=LARGE, headers=JPEG).status_code < 300
    assert len(bucket.names()) == 1


def test_a_request_that_is_repeated_leaves_its_bytes_once_in_the_bucket(serve: Serve, bucket: Bucket) -> None:
    api = serve(**bucket.settings)
    first, again = (api.post("/jobs", content=LARGE, headers=JPEG | {"Idempotency-Key": "once"}) for _ in range(2))
    assert again.json()["id"] == first.json()["id"]
    assert len(bucket.names()) == 1

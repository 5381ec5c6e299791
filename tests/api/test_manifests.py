"""Manifests: a list in a real S3 server (moto) becomes a job, and what is wrong with it is told by line."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from api.manifests import Manifests, listed
from shared.errors import InvalidRequest, StoreUnavailable
from shared.s3 import S3Place, connect_s3
from shared.sources import Manifest, S3Source, UrlSource
from tests.api.conftest import Serve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore.*")

URL = {"url": "https://example.com/dog.jpg"}
LIST = "s3://lists/list.jsonl"


def written(*lines: dict[str, Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Place]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    place = S3Place(f"http://{host}:{port}", "us-east-1", SecretStr("k"), SecretStr("s"))
    client = connect_s3(place)
    for bucket in ("lists", "closed"):
        client.create_bucket(Bucket=bucket)
        client.put_object(
            Bucket=bucket, Key="list.jsonl", Body=written(URL | {"id": "a"}, {"s3": "s3://lists/b.jpg"}, URL)
        )
    client.put_object(Bucket="lists", Key="wrong.jsonl", Body=written(URL, {"base64": "AAAA"}) + b"\n{" + bytes([255]))
    yield place
    server.stop()


@pytest.fixture
def api(serve: Serve, s3: S3Place) -> httpx.Client:
    return serve(
        s3_endpoint=s3.endpoint, s3_region=s3.region, s3_access_key=s3.access_key, s3_secret_key=s3.secret_key,
        s3_buckets=("lists", "absent"), max_pictures=3,
    )  # fmt: skip


def test_each_line_becomes_a_picture(api: httpx.Client, worker: Any) -> None:
    worker.announce()
    headers = {"Idempotency-Key": "k"}
    body = {"manifest": {"s3": LIST}, "priority": "low"}
    answer = api.post("/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["counts"]["total"] == 3
    claims = []
    while got := worker.take(16):
        claims += got
    assert [one.source for one in claims] == [
        UrlSource(url=URL["url"], id="a"), S3Source(s3="s3://lists/b.jpg"), UrlSource(url=URL["url"]),
    ]  # fmt: skip
    assert api.post("/jobs", json=body, headers=headers).json()["id"] == answer.json()["id"]
    other = api.post("/jobs", json=body | {"manifest": {"s3": "s3://lists/other.jsonl"}}, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("address", "field", "reason"),
    [
        ("s3://lists/none.jsonl", "manifest.s3", "The bucket has no such key."),
        ("s3://closed/list.jsonl", "manifest.s3", "This bucket is not opened on this service (SPOTTER_S3_BUCKETS)."),
        ("s3://lists/../closed/list.jsonl", "manifest.s3", "An S3 key has no '.' or '..' between slashes here."),
        ("s3://lists/wrong.jsonl", "manifest.2", None),
        ("https://example.com/list.jsonl", "manifest.s3", None),
    ],
)
def test_what_cannot_be_read_is_named(api: httpx.Client, address: str, field: str, reason: str | None) -> None:
    problem = api.post("/jobs", json={"manifest": {"s3": address}}).json()
    assert problem["code"] == "invalid_request"
    assert problem["errors"][0]["field"] == field
    assert reason is None or problem["errors"][0]["reason"] == reason


def test_one_form_of_pictures_at_a_time(api: httpx.Client) -> None:
    both = {"manifest": {"s3": LIST}, "image": URL}
    assert api.post("/jobs", json=both).json()["code"] == "invalid_request"


def test_a_bucket_that_s3_does_not_give_is_an_overload_not_the_clients_fault(api: httpx.Client) -> None:
    answer = api.post("/jobs", json={"manifest": {"s3": "s3://absent/list.jsonl"}})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


def test_without_buckets_there_are_no_manifests(serve: Serve) -> None:
    problem = serve().post("/jobs", json={"manifest": {"s3": LIST}}).json()
    assert problem["errors"][0]["field"] == "manifest.s3"


def test_an_s3_that_says_nothing_and_a_list_that_is_too_large(s3: S3Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait in its backlog
        place = S3Place(f"http://127.0.0.1:{silent.getsockname()[1]}", s3.region, s3.access_key, s3.secret_key)
        lists = Manifests(place, ("lists",), 0.5, 1000)
        with pytest.raises(StoreUnavailable):
            asyncio.run(lists.read(Manifest(s3=LIST), 3))
        lists.close()
    small = Manifests(s3, ("lists",), 10, 20)
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(small.read(Manifest(s3=LIST), 3))
    assert refused.value.errors[0].reason == "The manifest has more than 20 bytes."
    small.close()


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    text = b"\xef\xbb\xbf" + written(URL) + b"\r\n\n" + b'{"url": 7}\r\n' + written(URL) + b"text"
    with pytest.raises(InvalidRequest) as refused:
        listed(text, 10)
    assert [one.field for one in refused.value.errors] == ["manifest.4", "manifest.6"]
    assert listed(b"\xef\xbb\xbf" + written(URL) + b"\r\n" + written(URL).rstrip(), 2) == (UrlSource(**URL),) * 2


@pytest.mark.parametrize(("text", "reason"), [(b"\n\n", "it lists no picture"), (written(URL, URL, URL), "2 pictures")])
def test_lists_have_one_line_at_least_and_a_bound(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        listed(text, 2)
    assert reason in refused.value.errors[0].reason


def test_no_more_errors_are_told_than_anybody_reads() -> None:
    with pytest.raises(InvalidRequest) as refused:
        listed(b"{}\n" * 10_000, 10_000)
    assert len(refused.value.errors) == 50

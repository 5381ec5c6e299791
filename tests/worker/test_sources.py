"""Picture sources: URL and S3 over real HTTP on 127.0.0.1, uploads through a function."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from shared.errors import FetchFailed, FetchTimeout, SourceDisabled, SourceNotFound, SourceTooLarge, UploadGone
from shared.s3 import S3Place
from shared.schema import Base64Source, S3Source, StoredSource, UploadSource, UrlSource
from tests.worker.raw_server import TIMEOUT_S, Serve, answer, client, held, raw_servers
from worker.sources import SOURCES, S3Access, Sources

MAX_BYTES = 500_000
PICTURE = bytes(range(256)) * 1000
UPLOAD = "upl_" + "0" * 24


@pytest.fixture
def serve() -> Iterator[Serve]:
    with raw_servers() as start:
        yield start


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Access]:
    """An S3 server (moto) with a picture, an empty object and one that is too large; `closed` is not opened to us."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    access = S3Access(
        buckets=("pictures", "absent"),
        timeout_s=10,
        place=S3Place(f"http://{host}:{port}", "us-east-1", SecretStr("test"), SecretStr("test")),
    )
    writer = Sources(client(), access, lambda _: None, MAX_BYTES).client()
    for bucket in ("pictures", "closed"):
        writer.create_bucket(Bucket=bucket)
        writer.put_object(Bucket=bucket, Key="a/b c?#%41ü.jpg", Body=PICTURE)
    writer.put_object(Bucket="pictures", Key="empty", Body=b"")
    writer.put_object(Bucket="pictures", Key="exact", Body=bytes(MAX_BYTES))
    writer.put_object(Bucket="pictures", Key="large", Body=bytes(MAX_BYTES + 1))
    yield access
    server.stop()


def sources(s3: S3Access, max_bytes: int = MAX_BYTES, **options: Any) -> Sources:
    return Sources(client(**options), s3, {UPLOAD: PICTURE}.get, max_bytes)


NO_S3 = S3Access(buckets=(), timeout_s=1)


def at(s3: S3Access, endpoint: str) -> S3Access:
    return replace(s3, place=replace(s3.place, endpoint=endpoint))


def test_each_stored_source_has_a_function_and_base64_has_none() -> None:
    assert set(SOURCES) == set(get_args(StoredSource))
    assert Base64Source not in SOURCES


def test_a_url_goes_through_the_guarded_client(serve: Serve) -> None:
    server = serve(answer(f"HTTP/1.1 200 OK\nContent-Length: {len(PICTURE)}", PICTURE))
    assert sources(NO_S3).fetch(UrlSource(url=server.url())) == PICTURE
    with pytest.raises(SourceTooLarge):
        sources(NO_S3, max_bytes=len(PICTURE) - 1).fetch(UrlSource(url=server.url()))


def test_an_upload_is_there_or_gone() -> None:
    assert sources(NO_S3).fetch(UploadSource(upload=UPLOAD)) == PICTURE
    with pytest.raises(UploadGone):
        sources(NO_S3).fetch(UploadSource(upload="upl_" + "1" * 24))


def test_s3_gives_what_was_put(s3: S3Access) -> None:
    assert sources(s3).fetch(S3Source(s3="s3://pictures/a/b c?#%41ü.jpg")) == PICTURE
    assert sources(s3).fetch(S3Source(s3="s3://pictures/empty")) == b""
    assert sources(s3).fetch(S3Source(s3="s3://pictures/exact")) == bytes(MAX_BYTES)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("s3://pictures/no-such-key", SourceNotFound),
        ("s3://pictures/" + "k" * 1025, SourceNotFound),
        ("s3://pictures/large", SourceTooLarge),
        ("s3://pictures/../closed/a/b c?#%41ü.jpg", SourceNotFound),
        ("s3://pictures/a/./b c?#%41ü.jpg", SourceNotFound),
        ("s3://pictures/..", SourceNotFound),
        ("s3://closed/a/b c?#%41ü.jpg", SourceDisabled),
        ("s3://pictures.closed/a", SourceDisabled),
        ("s3://absent/a", FetchFailed),
    ],
)
def test_s3_failures_are_coded(s3: S3Access, address: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        sources(s3).fetch(S3Source(s3=address))
    assert type(caught.value) is error


def test_without_a_bucket_s3_is_off() -> None:
    with pytest.raises(SourceDisabled):
        sources(NO_S3).fetch(S3Source(s3="s3://pictures/a"))


def test_an_s3_server_that_hangs_or_is_not_there(serve: Serve, s3: S3Access) -> None:
    hangs = replace(at(s3, serve(held(b"")).url("")), timeout_s=TIMEOUT_S)
    start = time.monotonic()
    with pytest.raises(FetchTimeout):
        sources(hangs).fetch(S3Source(s3="s3://pictures/a"))
    assert time.monotonic() - start < TIMEOUT_S + 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed):
        sources(at(s3, f"http://127.0.0.1:{port}")).fetch(S3Source(s3="s3://pictures/a"))


def test_an_s3_body_that_breaks_off_or_never_ends(serve: Serve, s3: S3Access) -> None:
    short = serve(answer("HTTP/1.1 200 OK\nContent-Length: 99", b"abc"))
    with pytest.raises(FetchFailed):
        sources(at(s3, short.url(""))).fetch(S3Source(s3="s3://pictures/a"))
    stuck = serve(held(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"))
    with pytest.raises(FetchTimeout):
        sources(replace(at(s3, stuck.url("")), timeout_s=TIMEOUT_S)).fetch(S3Source(s3="s3://pictures/a"))


def test_one_client_is_made_however_many_ask(s3: S3Access) -> None:
    shared, made = sources(s3), []
    threads = [threading.Thread(target=lambda: made.append(shared.client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 8
    assert len(set(map(id, made))) == 1


def test_keys_are_not_shown_and_boto3_waits_until_it_is_needed(s3: S3Access) -> None:
    assert "test" not in repr(s3)
    code = "import sys, worker.sources; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0

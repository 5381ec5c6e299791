"""Everything that clients send by mistake or on purpose: a coded answer each time, and the worker lives on."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from bench.local import Stack
from tests.system.watching import parts

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:moto.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

OPEN = "127.0.0.2"
"""The one address that fetches may reach; 127.0.0.1 stays closed."""


def encoded(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


class Site(BaseHTTPRequestHandler):
    """Answers by path; `/never` not at all until the server ends."""

    ended = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/never":
            self.ended.wait(30)
            return
        if self.path == "/dog.png":
            body = encoded("PNG")
            self.send_response(200)
        elif self.path.startswith("/to/"):
            body = b""
            self.send_response(302)
            self.send_header("Location", "http://" + self.path[4:])
        else:
            body = b"<p>no</p>"
            self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer((OPEN, 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{OPEN}:{server.server_port}"
    Site.ended.set()
    server.shutdown()
    server.server_close()


def s3_client(endpoint: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    client = s3_client(endpoint)
    client.create_bucket(Bucket="pictures")
    client.put_object(Bucket="pictures", Key="dog.png", Body=encoded("PNG"))
    yield endpoint
    client.close()
    server.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, s3: str) -> Iterator[Stack]:
    settings = {
        "fetch_allow": f"{OPEN}/32",
        "fetch_timeout_s": "2",
        "s3_endpoint": s3,
        "s3_region": "us-east-1",
        "s3_access_key": "k",
        "s3_secret_key": "s",
        "s3_buckets": "pictures",
        "blob_bucket": "pictures",
        "blob_inline_bytes": "2000",
    }
    with Stack(tmp_path_factory.mktemp("stack"), models_dir, "fp32", **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=40, headers={"Prefer": "wait=30"}) as client:
        yield client


def outcome(client: httpx.Client, source: dict[str, Any]) -> str:
    """`succeeded`, or the code of the one picture's error."""
    answer = client.post("/jobs", json={"image": source})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    if result["status"] == "succeeded":
        return "succeeded"
    error = result["error"]
    assert error["title"]
    assert error["detail"]
    assert "127.0.0" not in error["detail"], "an error tells where the service's network leads"
    return str(error["code"])


def inline(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def test_each_bad_picture_has_its_code_and_the_worker_lives_on(stack: Stack, client: httpx.Client, site: str) -> None:
    bomb = encoded("PNG", (9000, 9000), "1")
    assert len(bomb) < 12_000
    before = parts(stack, "worker.main")
    cases = [
        (inline(b"not a picture at all"), "invalid_image"),
        (inline(encoded("JPEG", (640, 480))[:900]), "invalid_image"),
        (inline(bomb), "image_too_large"),
        ({"url": f"{site}/missing.jpg"}, "source_not_found"),
        ({"url": "http://127.0.0.1/x.jpg"}, "address_forbidden"),
        ({"url": "http://localhost/x.jpg"}, "address_forbidden"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "address_forbidden"),
        ({"url": f"{site}/to/127.0.0.1/x.jpg"}, "address_forbidden"),
        ({"url": f"{site}/to/169.254.169.254/latest/meta-data/"}, "address_forbidden"),
        ({"url": f"{site}/never"}, "fetch_timeout"),
        ({"s3": "s3://pictures/missing.jpg"}, "source_not_found"),
        ({"s3": "s3://secrets/key.jpg"}, "source_disabled"),
        ({"url": f"{site}/dog.png"}, "succeeded"),
        ({"s3": "s3://pictures/dog.png"}, "succeeded"),
        (inline(encoded("PNG")), "succeeded"),
    ]
    found = [(str(source)[:80], outcome(client, source)) for source, _ in cases]
    assert found == [(str(source)[:80], code) for source, code in cases]
    assert parts(stack, "worker.main") == before, "the worker was restarted"


@pytest.mark.parametrize(
    ("request_body", "status", "code"),
    [
        (b"", 400, "bad_json"),
        (b'{"image": {"url": "https://example.com/x"}, "model": "nonesuch"}', 422, "unknown_model"),
        (b'{"image": {"url": "https://example.com/x"}, "options": {"threshold": 2}}', 422, "invalid_request"),
        (b'{"image": {"upload": "upl_00000000000000000000000000"}}', 422, "invalid_request"),
    ],
)
def test_each_bad_request_is_a_problem(client: httpx.Client, request_body: bytes, status: int, code: str) -> None:
    answer = client.post("/jobs", content=request_body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code


def test_a_bulk_job_of_good_and_bad_pictures_answers_each(client: httpx.Client, site: str) -> None:
    images = [
        inline(encoded("PNG")) | {"id": "a"},
        {"url": f"{site}/missing.jpg", "id": "b"},
        {"url": f"{site}/dog.png"},
    ]
    job = client.post("/jobs", json={"images": images}).json()
    assert job["status"] == "succeeded"
    assert [(one["id"], one["status"]) for one in job["results"]] == [
        ("a", "succeeded"), ("b", "failed"), (None, "succeeded"),
    ]  # fmt: skip
    assert job["counts"]["failed"] == 1


def test_an_upload_too_large_for_the_store_goes_through_s3(client: httpx.Client, s3: str) -> None:
    large = encoded("BMP", (400, 300))
    job = client.post("/jobs", files={"file": large}, data={"draw": "true"}).json()
    assert job["status"] == "succeeded", job
    assert client.get(f"/jobs/{job['id']}/pictures/0").content == large
    assert client.get(f"/jobs/{job['id']}/pictures/0?draw=true").content.startswith(b"\xff\xd8")
    reader = s3_client(s3)
    kept = reader.list_objects_v2(Bucket="pictures", Prefix="spotter/")["Contents"]
    assert len(large) in [entry["Size"] for entry in kept]
    reader.close()

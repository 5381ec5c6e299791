"""Uploads that are kept for several jobs: sent, named, looked at, dropped, bounded; and nobody else's."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx
import pytest
import redis

from shared.keys import SCOPES
from shared.schema import UploadSource
from shared.store import PREFIX, JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key

JPEG = {"content-type": "image/jpeg"}


def send(api: httpx.Client, data: bytes = b"bytes", **query: Any) -> dict[str, Any]:
    answer = api.post("/uploads", content=data, headers=JPEG, params=query)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/uploads/{answer.json()['id']}"
    upload: dict[str, Any] = answer.json()
    return upload


def blob_ttl_s(client: redis.Redis, upload: str) -> float:
    ttl = client.pttl(f"{PREFIX}blob:{upload}")
    return ttl / 1000


def test_one_upload_serves_several_jobs_and_outlives_them(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    upload = send(api, b"the bytes", keep_s=3600)
    assert upload["size_bytes"] == 9
    assert datetime.fromisoformat(upload["expires_at"]).timestamp() == pytest.approx(time.time() + 3600, abs=5)
    for _ in range(2):
        job = api.post("/jobs", json={"image": {"upload": upload["id"]}}).json()["id"]
        (held,) = worker.take()
        assert isinstance(held.source, UploadSource)
        assert held.data == b"the bytes"
        worker.finish(held)
        assert api.get(f"/jobs/{job}").json()["status"] == "succeeded"
        assert api.get(f"/jobs/{job}/pictures/0").content == b"the bytes"
        assert blob_ttl_s(client, upload["id"]) > 3500, "what succeeded does not end it"
        assert api.delete(f"/jobs/{job}").status_code == 204
    assert api.get(f"/uploads/{upload['id']}").status_code == 200


def test_a_bulk_job_may_name_it_beside_others(api: httpx.Client, worker: Any) -> None:
    upload = send(api)["id"]
    images = [{"upload": upload, "id": "mine"}, {"url": "https://example.com/1.jpg"}, {"upload": upload}]
    assert api.post("/jobs", json={"images": images}).status_code == 202
    held = [claimed for _ in range(3) for claimed in worker.take()]
    assert [(one.source.id, one.data) for one in held] == [("mine", b"bytes"), (None, None), (None, b"bytes")]


def test_a_job_prolongs_it_and_never_shortens_it(api: httpx.Client, client: redis.Redis) -> None:
    brief, long = send(api, keep_s=60)["id"], send(api, keep_s=2_592_000)["id"]
    job = {"images": [{"upload": brief}, {"upload": long}], "deadline_s": 3600, "retain_s": 3600}
    assert api.post("/jobs", json=job).status_code == 202
    assert blob_ttl_s(client, brief) == pytest.approx(7260, abs=5)
    assert blob_ttl_s(client, long) == pytest.approx(2_592_000, abs=5)
    until = datetime.fromisoformat(api.get(f"/uploads/{brief}").json()["expires_at"]).timestamp()
    assert until == pytest.approx(time.time() + 7260, abs=5)


def test_one_that_is_not_kept_is_told_before_the_job_is_taken(api: httpx.Client) -> None:
    gone, there = send(api)["id"], send(api)["id"]
    assert api.delete(f"/uploads/{gone}").status_code == 204
    answer = api.post("/jobs", json={"images": [{"upload": there}, {"upload": gone}]})
    assert answer.status_code == 422
    assert [wrong["field"] for wrong in answer.json()["errors"]] == ["images.1.upload"]
    assert api.get("/jobs").json()["jobs"] == []
    for call in (api.get, api.delete):
        absent = call(f"/uploads/{gone}")
        assert (absent.status_code, absent.json()["code"]) == (404, "upload_not_found")


def test_one_whose_time_is_over_is_gone(api: httpx.Client, client: redis.Redis) -> None:
    upload = send(api, b"x" * 5000)["id"]
    client.zadd(f"{PREFIX}kept:default", {upload: 1})
    assert api.get(f"/uploads/{upload}").status_code == 404
    assert api.post("/jobs", json={"image": {"upload": upload}}).status_code == 422
    other = send(api)["id"]
    assert client.hgetall(f"{PREFIX}sizes:default") == {b"": b"1024", other.encode(): b"5"}


def test_what_an_owner_keeps_is_bounded_in_bytes(serve: Serve, client: redis.Redis) -> None:
    api = serve(owner_upload_bytes=10_000)
    first = send(api, b"x" * 6000)["id"]
    send(api, b"x")
    over = api.post("/uploads", content=b"x" * 3000, headers=JPEG)
    assert (over.status_code, over.json()["code"]) == (429, "upload_quota_exceeded")
    assert 86_000 < int(over.headers["retry-after"]) <= 86_400
    assert len(client.keys(f"{PREFIX}blob:*")) == 2
    assert api.delete(f"/uploads/{first}").status_code == 204
    send(api, b"x" * 3000)


def test_an_upload_counts_for_the_rate(serve: Serve, store: JobStore) -> None:
    api = serve(auth="keys", owner_rate=0.01, owner_burst=1)
    headers = bearer(make_key(store, "shop")) | JPEG
    assert api.post("/uploads", content=b"x", headers=headers).status_code == 201
    fast = api.post("/uploads", content=b"x", headers=headers)
    assert (fast.status_code, fast.json()["code"]) == (429, "rate_limited")
    assert int(fast.headers["retry-after"]) > 60


def test_a_form_holds_one_picture(api: httpx.Client) -> None:
    one = api.post("/uploads", files={"file": ("a.jpg", b"bytes", "image/jpeg")})
    assert (one.status_code, one.json()["size_bytes"]) == (201, 5)
    two = [("file", ("a.jpg", b"1", "image/jpeg")), ("file", ("b.jpg", b"2", "image/jpeg"))]
    assert api.post("/uploads", files=two).status_code == 422
    archive = {"file": ("a.zip", b"PK\x05\x06" + bytes(18), "application/zip")}
    assert api.post("/uploads", files=archive).status_code == 422


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [(b"", "image/png", 422), (b"{}", "application/json", 415), (b"x" * 3000, "image/jpeg", 422)],
)
def test_what_is_refused_is_not_kept(serve: Serve, client: redis.Redis, data: bytes, kind: str, status: int) -> None:
    api = serve(max_image_bytes=2000)
    assert api.post("/uploads", content=data, headers={"content-type": kind}).status_code == status
    assert client.keys(f"{PREFIX}*") == []


def test_nobody_reaches_anothers(serve: Serve, store: JobStore) -> None:
    api = serve(auth="keys")
    theirs, mine = (bearer(make_key(store, owner, *SCOPES)) for owner in ("theirs", "mine"))
    upload = api.post("/uploads", content=b"bytes", headers={**theirs, **JPEG}).json()["id"]
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/uploads/{upload}", headers=mine)
        assert (answer.status_code, answer.json()["code"]) == (404, "upload_not_found")
    assert api.get(f"/uploads/{upload}", headers=theirs).status_code == 200
    reader = bearer(make_key(store, "theirs", "jobs:read"))
    assert api.post("/uploads", content=b"bytes", headers={**reader, **JPEG}).status_code == 403

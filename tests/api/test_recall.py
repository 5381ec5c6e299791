"""The same picture asked for again: its earlier result answers at once, and only where it is the same in all."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
import redis

from shared.schema import Box, Detection, ImageSize, PictureResult
from shared.store import PREFIX, JobStore
from shared.views import open_jobs, stats
from tests.api.conftest import Serve, Worker
from tests.api.test_owners import bearer, make_key

DOG, CAT = b"\xff\xd8\xff dog", b"\xff\xd8\xff cat"
JPEG = {"content-type": "image/jpeg"}


def found(index: int = 0, version: str = "1") -> PictureResult:
    box = Box(x=1.5, y=2.25, width=3.0, height=4.125)
    dogs = (Detection(label="dog", class_id=0, confidence=0.829, box=box),)
    return PictureResult(
        index=index,
        status="succeeded",
        attempts=1,
        version=version,
        image=ImageSize(width=9, height=8),
        detections=dogs,
    )


@pytest.fixture
def seen(api: httpx.Client, worker: Worker) -> dict[str, Any]:
    """The job in which the dog was detected first."""
    worker.announce()
    job = api.post("/jobs", content=DOG, headers=JPEG).json()
    assert job["status"] == "queued"
    (held,) = worker.take()
    worker.finish(held, found())
    return job_of(api, job["id"])


def job_of(api: httpx.Client, job: str) -> dict[str, Any]:
    read: dict[str, Any] = api.get(f"/jobs/{job}").json()
    return read


def test_the_second_time_is_answered_at_once(api: httpx.Client, seen: dict[str, Any], worker: Worker) -> None:
    again = api.post("/jobs", content=DOG, headers=JPEG | {"Prefer": "wait=10"})
    assert again.status_code == 200
    job = again.json()
    assert job["id"] != seen["id"]
    assert (job["status"], job["model"]) == ("succeeded", seen["model"])
    (first,), (second,) = seen["results"], job["results"]
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["detections"] == first["detections"]
    assert second["image"] == first["image"]
    assert job["counts"]["succeeded"] == 1
    assert None not in (job["started_at"], job["finished_at"], job["expires_at"])
    assert worker.take() == []
    later = api.post("/jobs", content=DOG, headers=JPEG)
    assert (later.status_code, later.json()["status"]) == (202, "succeeded")


def test_bytes_that_nobody_detects_in_leave_as_soon_as_those_of_a_finished_picture(
    api: httpx.Client, worker: Worker, client: redis.Redis
) -> None:
    worker.announce()
    large = DOG + bytes(1 << 20)
    for number in range(2):
        before = set(client.keys(PREFIX + "blob:*"))
        job = api.post("/jobs", content=large, headers=JPEG).json()
        if job["status"] == "queued":
            (held,) = worker.take()
            worker.finish(held, found())
        (blob,) = set(client.keys(PREFIX + "blob:*")) - before
        assert 6 <= client.ttl(blob) <= 7, number  # 30 s for 256 KiB


def test_the_form_in_which_it_comes_does_not_matter(api: httpx.Client, seen: dict[str, Any]) -> None:
    inside = {"image": {"base64": base64.b64encode(DOG).decode(), "id": "mine"}}
    (result,) = api.post("/jobs", json=inside).json()["results"]
    assert (result["cached"], result["id"], result["index"]) == (True, "mine", 0)
    (result,) = api.post("/jobs", files={"file": ("dog.jpg", DOG)}).json()["results"]
    assert (result["cached"], result["id"]) == (True, "dog.jpg")


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"threshold": "0.9"}},
        {"params": {"classes": "dog"}},
        {"params": {"draw": "true"}},
        {"content": CAT},
        {"headers": JPEG | {"Cache-Control": "no-cache"}},
    ],
    ids=str,
)
def test_what_differs_is_detected_anew(api: httpx.Client, seen: dict[str, Any], change: dict[str, Any]) -> None:
    job = api.post("/jobs", **({"content": DOG, "headers": JPEG} | change)).json()
    assert job["status"] == "queued"


def test_another_version_answers_for_itself(api: httpx.Client, seen: dict[str, Any], worker: Worker) -> None:
    worker.announce(versions=("1", "2"), default="1")
    by_version = {name: api.post("/jobs", params={"model": name}, content=DOG, headers=JPEG) for name in ("m@1", "m@2")}
    assert {name: answer.json()["status"] for name, answer in by_version.items()} == {
        "m@1": "succeeded",
        "m@2": "queued",
    }


def test_where_it_is_off_nothing_is_noted(serve: Serve, worker: Worker, client: redis.Redis) -> None:
    api = serve(cache=False)
    worker.announce()
    for _ in range(2):
        assert api.post("/jobs", content=DOG, headers=JPEG).json()["status"] == "queued"
        worker.finish_all()
    assert client.keys(PREFIX + "note:*") == []


def test_a_url_is_fetched_each_time(api: httpx.Client, worker: Worker, client: redis.Redis) -> None:
    worker.announce()
    for _ in range(2):
        assert api.post("/jobs", json={"image": {"url": "https://example.com/a.jpg"}}).json()["status"] == "queued"
        worker.finish_all()
    assert client.keys(PREFIX + "note:*") == []


def test_a_result_that_is_gone_answers_nobody(api: httpx.Client, seen: dict[str, Any], client: redis.Redis) -> None:
    client.delete(f"{PREFIX}job:{seen['id']}")
    assert api.post("/jobs", content=DOG, headers=JPEG).json()["status"] == "queued"


def test_a_note_lives_no_longer_than_its_job(api: httpx.Client, seen: dict[str, Any], client: redis.Redis) -> None:
    (note,) = client.keys(PREFIX + "note:*")
    assert client.get(note) == f"{seen['id']}/0".encode()
    assert 0 < client.ttl(note) <= client.ttl(f"{PREFIX}job:{seen['id']}")


def test_failures_are_tried_again(api: httpx.Client, worker: Worker) -> None:
    worker.announce()
    api.post("/jobs", content=DOG, headers=JPEG)
    (held,) = worker.take()
    worker.finish(held, PictureResult(index=0, status="failed", attempts=1))
    assert api.post("/jobs", content=DOG, headers=JPEG).json()["status"] == "queued"


def test_a_bulk_job_is_answered_whole_or_not_at_all(api: httpx.Client, worker: Worker) -> None:
    worker.announce()
    both = [("file", ("dog.jpg", DOG)), ("file", ("cat.jpg", CAT))]
    api.post("/jobs", files=both)
    for held in worker.take(1) + worker.take(1):
        worker.finish(held, found(held.index))
    job = api.post("/jobs", files=[both[1], both[0], both[1]]).json()
    assert job["status"] == "succeeded"
    assert [(one["index"], one["id"], one["cached"]) for one in job["results"]] == [
        (0, "cat.jpg", True),
        (1, "dog.jpg", True),
        (2, "cat.jpg", True),
    ]
    lines = api.get(f"/jobs/{job['id']}/results").text.splitlines()
    assert len(lines) == 3
    assert api.post("/jobs", files=[*both, ("file", ("new.jpg", DOG + b"!"))]).json()["counts"]["queued"] == 3


def test_counters_and_metrics_stay_right(
    api: httpx.Client, seen: dict[str, Any], store: JobStore, client: redis.Redis
) -> None:
    api.post("/jobs", content=DOG, headers=JPEG)
    counted = store.run(stats())
    assert (counted["pictures:m:ok"], counted["pictures:m:cached"], counted["jobs:m:succeeded"]) == (1, 1, 2)
    assert open_jobs(counted) == {}
    assert client.hgetall(PREFIX + "owner:default") == {b"waiting": b"0", b"open": b"0"}
    assert client.hgetall(PREFIX + "pending") == {b"m": b"0"}
    for left in ("leases", "deadlines"):
        assert client.zcard(PREFIX + left) == 0
    assert 'spotter_pictures_total{model="m",status="cached"} 1.0' in api.get("/metrics").text


def test_its_webhook_is_told(serve: Serve, worker: Worker, client: redis.Redis) -> None:
    api = serve(webhook_secret="whsec_" + "A" * 32)
    worker.announce()
    api.post("/jobs", content=DOG, headers=JPEG)
    worker.finish_all()
    hook = '{"url": "https://example.com/hook"}'
    job = api.post("/jobs", params={"webhook": hook}, content=DOG, headers=JPEG).json()
    assert job["status"] == "succeeded"
    assert f"{PREFIX}hook:{job['id']}.job.succeeded".encode() in client.keys(PREFIX + "hook:*")


def test_owners_have_notes_of_their_own(serve: Serve, worker: Worker, store: JobStore) -> None:
    api = serve(auth="keys")
    worker.announce()
    shop, other = (bearer(make_key(store, owner, "jobs:write")) for owner in ("shop", "other"))
    api.post("/jobs", content=DOG, headers=JPEG | shop)
    worker.finish_all()
    assert api.post("/jobs", content=DOG, headers=JPEG | other).json()["status"] == "queued"
    assert api.post("/jobs", content=DOG, headers=JPEG | shop).json()["status"] == "succeeded"

"""The job resource over real HTTP: every form of a body, every way to look, and what is refused."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from shared.schema import UploadSource, UrlSource
from spotter.address import free_port

URL = {"image": {"url": "https://example.com/dog.jpg"}}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def test_a_job_by_url_is_accepted_and_seen_to_its_end(api: httpx.Client, worker: Any) -> None:
    answer = api.post("/jobs", json=URL | {"metadata": {"camera": "7"}, "options": {"threshold": 0.4}})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["retry-after"] == "1"
    assert job["status"] == "queued"
    assert job["queue_position"] == 1
    assert job["metadata"] == {"camera": "7"}
    assert job["model"] == {"name": "m", "version": None, "sha256": None}

    (held,) = worker.take()
    assert held.job.options.threshold == 0.4
    assert held.source == UrlSource(url=URL["image"]["url"])
    assert api.get(f"/jobs/{job['id']}").json()["status"] == "running"
    worker.finish(held)
    done = api.get(f"/jobs/{job['id']}").json()
    assert done["status"] == "succeeded"
    assert done["model"]["version"] == "1"
    assert done["results"][0]["detections"] == []
    assert "cancel" not in done["links"]


def test_three_forms_of_an_upload_reach_the_worker_as_the_same_bytes(
    api: httpx.Client, worker: Any, client: redis.Redis
) -> None:
    picture = bytes(range(256)) * 40
    options = {"threshold": "0.3", "draw": "true", "classes": "dog,cat"}
    inline = {"base64": base64.b64encode(picture).decode(), "id": "x"}
    answers = [
        api.post("/jobs", params=options, content=picture, headers={"content-type": "image/png"}),
        api.post("/jobs", files={"file": ("a.jpg", picture)}, data=options),
        api.post(
            "/jobs", json={"image": inline, "options": {"threshold": 0.3, "draw": True, "classes": ["dog", "cat"]}}
        ),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    claims = {held.job.id: held for held in (worker.take()[0] for _ in answers)}
    for answer, name in zip(answers, (None, "a.jpg", "x"), strict=True):
        held = claims[answer.json()["id"]]
        assert isinstance(held.source, UploadSource)
        assert held.source.id == name
        assert client.get(f"spotter:blob:{held.source.upload}") == picture
        assert held.job.options.threshold == 0.3
        assert held.job.options.draw
        assert held.job.options.classes == ("dog", "cat")
        assert api.get(f"/jobs/{held.job.id}/pictures/0").content == picture


def test_a_form_with_many_files_is_one_job(api: httpx.Client, worker: Any) -> None:
    files = [("file", (f"{k}.jpg", b"bytes%d" % k)) for k in range(3)]
    options = json.dumps({"iou": 0.3})
    job = api.post("/jobs", files=files, data={"options": options, "metadata": '{"a": "b"}', "priority": "high"}).json()
    assert job["counts"]["total"] == 3
    held = worker.take(1)[0]
    assert (held.job.options.iou, held.job.priority, held.job.metadata) == (0.3, "high", {"a": "b"})
    assert worker.finish_all() == 2
    worker.finish(held)
    done = api.get(f"/jobs/{job['id']}").json()
    assert [result["id"] for result in done["results"]] == [None] * 3  # the worker of these tests gives none
    assert done["counts"]["succeeded"] == 3


def test_prefer_wait_answers_200_with_the_finished_job(api: httpx.Client, worker: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: api.post("/jobs", json=URL, headers={"Prefer": "respond-async, wait=20"}))
        deadline = time.monotonic() + 10
        while not (claims := worker.take()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        worker.finish(claims[0])
        answer = waiting.result(10)
    assert time.monotonic() - began < 2
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["status"] == "succeeded"


def test_prefer_wait_falls_back_to_202(api: httpx.Client) -> None:
    answer = api.post("/jobs", json=URL, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["status"] == "queued"


def test_a_long_poll_returns_at_the_next_change(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json=URL).json()["id"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: api.get(f"/jobs/{job}?wait=20"))
        time.sleep(0.2)  # the poll is on its way; if it is not yet there, it sees the change at once
        assert not waiting.done()
        (held,) = worker.take()
        assert waiting.result(5).json()["status"] == "running"
    etag = api.get(f"/jobs/{job}").headers["etag"]
    unchanged = api.get(f"/jobs/{job}?wait=1", headers={"If-None-Match": etag})
    assert unchanged.status_code == 304
    worker.finish(held)
    assert api.get(f"/jobs/{job}?wait=20", headers={"If-None-Match": etag}).json()["status"] == "succeeded"
    assert api.get(f"/jobs/{job}?wait=20").elapsed.total_seconds() < 5  # final: nothing to wait for


def test_cancel_acts_at_once_and_only_once(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json=URL).json()["id"]
    canceled = api.post(f"/jobs/{job}/cancel")
    assert canceled.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert canceled.json()["counts"]["canceled"] == 1
    assert worker.take() == []
    problem(api.post(f"/jobs/{job}/cancel"), 409, "job_finished")
    problem(api.post("/jobs/job_none/cancel"), 404, "job_not_found")


def test_lists_are_newest_first_in_pages_and_filtered(api: httpx.Client, worker: Any) -> None:
    jobs = []
    for _ in range(5):
        jobs.append(api.post("/jobs", json=URL).json()["id"])
        time.sleep(0.002)  # jobs of one millisecond have no order of arrival
    api.post(f"/jobs/{jobs[1]}/cancel")
    walked, url = [], "/jobs?limit=2"
    while url:
        answer = api.get(url)
        walked += [job["id"] for job in answer.json()["jobs"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert walked == jobs[::-1]
    assert [job["id"] for job in api.get("/jobs?status=canceled").json()["jobs"]] == [jobs[1]]
    assert api.get("/jobs?limit=5").json()["next"] is None
    assert api.get("/jobs?limit=4").json()["next"] is not None
    assert api.get("/jobs?created_after=2026-01-01T00:00:00").status_code == 422  # of which zone?
    assert api.get("/jobs?model=other").json() == {"jobs": [], "next": None}
    middle = api.get(f"/jobs/{jobs[2]}").json()["created_at"]
    assert [job["id"] for job in api.get("/jobs", params={"created_after": middle}).json()["jobs"]] == jobs[:2:-1]
    assert jobs[2] in [job["id"] for job in api.get("/jobs", params={"created_before": middle}).json()["jobs"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"image": {}}, "image.url"),
        ({"image": {"url": "ftp://example.com/x"}}, "image.url"),
        ({"image": {"url": "https://example.com/x", "extra": 1}}, "image.extra"),
        (URL | {"images": [URL["image"]]}, "body"),
        ({"images": []}, "images"),
        (URL | {"options": {"threshold": 2}}, "options.threshold"),
        (URL | {"options": {"threshold": "NaN"}}, "options.threshold"),
        (URL | {"options": {"max_detections": 0}}, "options.max_detections"),
        (URL | {"priority": "urgent"}, "priority"),
        (URL | {"deadline_s": 0}, "deadline_s"),
        (URL | {"deadline_s": True}, "deadline_s"),
        (URL | {"retain_s": "60"}, "retain_s"),
        (URL | {"metadata": {"k": "v" * 513}}, "metadata.k"),
        (URL | {"metadata": {str(k): "v" for k in range(17)}}, "metadata"),
        (URL | {"webhook": {"url": "https://example.com"}}, "webhook.url"),
        (URL | {"nonsense": 1}, "nonsense"),
        (URL | {"model": "no such name"}, "model"),
        ({"image": {"base64": "***"}}, "image.base64"),
        ({"image": {"base64": "data:text/html;base64,AAAA"}}, "image.base64"),
        ({"image": {"upload": "upl_short"}}, "image.upload"),
        ({"image": {"base64": "caf\u00e9"}}, "image.base64"),
        ({"image": {"s3": "s3://bucket"}}, "image.s3"),
        ([], "body"),
    ],
)
def test_a_wrong_field_is_named(api: httpx.Client, body: Any, field: str) -> None:
    found = problem(api.post("/jobs", json=body), 422, "invalid_request")
    assert field in [error["field"] for error in found["errors"]]
    assert api.get("/jobs").json()["jobs"] == []


HALF = b'{"image": {"url": "https://example.com/dog.jpg"}, "options": %s}'
"""With half a character in it, which JSON may have."""


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "bad_json"),
        (b"{", "application/json", 400, "bad_json"),
        (b"[" * 5_000, "application/json", 400, "bad_json"),
        (b'{"image":' * 5_000, "application/json", 400, "bad_json"),
        (b"\xff\xfe", "application/json", 400, "bad_json"),
        (HALF % b'{"classes": ["\\ud800"]}', "application/json", 422, "invalid_request"),
        (HALF % b'{"thresholds": {"\\ud800": 0.5}}', "application/json", 422, "invalid_request"),
        (b"x", "text/plain", 415, "unsupported_media"),
        (b"", "image/jpeg", 422, "invalid_request"),
        (b"x", "multipart/form-data", 422, "invalid_request"),
        (b"x" * 70_000, "application/json", 413, "body_too_large"),
    ],
)
def test_a_wrong_body_is_a_problem(serve: Any, content: bytes, kind: str, status: int, code: str) -> None:
    api = serve(max_body_bytes=1024)
    problem(api.post("/jobs", content=content, headers={"content-type": kind}), status, code)


def test_a_body_without_a_length_is_counted(serve: Any) -> None:
    api = serve(max_body_bytes=1024)
    chunks = (b"x" * 10_000 for _ in range(20))
    problem(api.post("/jobs", content=chunks, headers={"content-type": "image/jpeg"}), 413, "body_too_large")


def test_a_form_names_what_is_wrong_with_it(api: httpx.Client) -> None:
    for files, data in (({"image": b"x"}, {}), ({"file": b""}, {}), ({"file": b"x"}, {"threshold": "2"})):
        problem(api.post("/jobs", files=files, data=data), 422, "invalid_request")
    problem(api.post("/jobs", files={"file": b"x"}, data={"metadata": "{"}), 422, "invalid_request")
    for deep in ("metadata", "options", "threshold", "retain_s"):
        problem(api.post("/jobs", files={"file": b"x"}, data={deep: "[" * 5_000}), 422, "invalid_request")
    problem(api.post("/jobs", files={"file": b"x"}, data={"image": "y"}), 422, "invalid_request")


def test_an_unknown_model_names_those_that_there_are(serve: Any, worker: Any) -> None:
    worker.announce("m")
    api = serve()
    found = problem(api.post("/jobs", json=URL | {"model": "yolo99"}), 422, "unknown_model")
    assert "m" in found["detail"]
    problem(api.post("/jobs", json=URL | {"model": "m@7"}), 422, "unknown_model")
    assert api.post("/jobs", json=URL | {"model": "m@1"}).status_code == 202


def test_a_full_queue_is_503_with_retry_after(serve: Any) -> None:
    api = serve(queue_limit=2)
    assert api.post("/jobs", json={"images": [URL["image"]] * 2}).status_code == 202
    refused = api.post("/jobs", json=URL)
    problem(refused, 503, "queue_full")
    assert int(refused.headers["retry-after"]) > 0


def test_a_store_that_is_gone_is_503_and_never_202(serve: Any) -> None:
    api = serve(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    refused = api.post("/jobs", json=URL)
    problem(refused, 503, "store_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert api.get("/readyz").status_code == 503
    assert api.get("/healthz").status_code == 200


def test_too_many_pictures_are_refused(serve: Any) -> None:
    api = serve(max_pictures=2)
    problem(api.post("/jobs", json={"images": [URL["image"]] * 3}), 422, "invalid_request")
    problem(api.post("/jobs", files=[("file", b"x")] * 3), 422, "invalid_request")


def test_a_request_id_is_taken_over_only_when_it_is_harmless(api: httpx.Client) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert api.get("/healthz", headers={"X-Request-Id": 'a b"c'}).headers["x-request-id"].startswith("req_")


def test_many_waiters_of_one_job_are_all_told(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json=URL).json()["id"]
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(api.get(f"/jobs/{job}?wait=20").json()["status"]))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    (held,) = worker.take()
    worker.finish(held)
    for thread in threads:
        thread.join(10)
    assert len(seen) == 20
    assert set(seen) <= {"running", "succeeded"}

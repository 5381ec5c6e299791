"""The SDK against a real HTTP server: what it sends, what it makes of the answers, how long it waits."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotter import Spotter, SpotterApiError, SpotterTimeout, SpotterUnreachable
from spotter.address import free_port
from tests.spotter.job_server import FAILED, JOB, QUEUED, JobServer, serving

PROBLEM = {
    "type": "about:blank",
    "title": "The queue is full",
    "status": 503,
    "detail": "There is no room.",
    "code": "queue_full",
    "request_id": "req_7",
    "errors": [{"field": "image", "reason": "too many"}],
}


@pytest.fixture
def server() -> Iterator[JobServer]:
    with serving() as started:
        yield started


@pytest.fixture
def service(server: JobServer) -> Iterator[Spotter]:
    with Spotter(server.url, api_key="spt_key", timeout_s=5) as client:
        yield client


def test_a_job_in_full(server: JobServer, service: Spotter) -> None:
    server.will_answer(JOB)
    job = service.job("job_1", wait_s=2)
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/jobs/job_1?wait=2")
    assert server.asked[0].headers["authorization"] == "Bearer spt_key"
    assert (job.id, job.status, job.done, job.model) == ("job_1", "succeeded", True, "yolov3-tiny@1")
    assert job.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert job.metadata == {"camera": "7"}
    (picture,) = job.pictures
    assert picture.size == (768, 576)
    (found,) = picture.detections
    assert (found.label, found.class_id, found.confidence) == ("dog", 16, 0.8291)
    assert (found.box.x, found.box.y, found.box.width, found.box.height) == (124.1, 219.8, 258.2, 298.0)
    assert job.raw["attempts"] == 1


def test_a_failed_picture_has_its_reason(server: JobServer, service: Spotter) -> None:
    server.will_answer(FAILED)
    picture = service.job("job_1").pictures[0]
    assert picture.detections == ()
    assert picture.error is not None
    assert (picture.error.code, picture.error.detail) == ("invalid_image", "This is no picture.")


def test_files_and_bytes_travel_as_a_form(server: JobServer, service: Spotter, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"\xff\xd8one")
    server.will_answer(QUEUED, status=202)
    job = service.submit(
        tmp_path / "one.jpg", b"two", model="m", threshold=0.4, draw=True, iou=None, metadata={"a": "b"}
    )
    assert job.status == "queued"
    assert job.queue_position == 3
    (asked,) = server.asked
    assert asked.headers["content-type"].startswith("multipart/form-data")
    assert "prefer" not in asked.headers
    assert asked.body.count(b'name="file"') == 2
    assert b'filename="one.jpg"' in asked.body
    assert b"\xff\xd8one" in asked.body
    assert b'{"a": "b"}' in asked.body
    options = json.loads(asked.body.split(b'name="options"\r\n\r\n')[1].split(b"\r\n")[0])
    assert options == {"threshold": 0.4, "draw": True}


def test_addresses_travel_as_json_and_bytes_beside_them_as_base64(server: JobServer, service: Spotter) -> None:
    server.will_answer(QUEUED, status=202)
    service.submit("https://example.org/a.jpg", "s3://bucket/b.jpg", b"bytes", classes=["dog"], priority="high")
    assert json.loads(server.asked[0].body) == {
        "images": [
            {"url": "https://example.org/a.jpg"},
            {"s3": "s3://bucket/b.jpg"},
            {"base64": base64.b64encode(b"bytes").decode()},
        ],
        "options": {"classes": ["dog"]},
        "priority": "high",
    }


def test_detect_asks_the_service_to_wait_and_then_polls(server: JobServer, service: Spotter) -> None:
    server.will_answer(QUEUED, status=202)
    server.will_answer({**QUEUED, "status": "running"}, JOB)
    job = service.detect("http://example.org/a.jpg", timeout_s=30)
    assert job.status == "succeeded"
    assert server.asked[0].headers["prefer"] == "wait=30"
    assert json.loads(server.asked[0].body) == {"image": {"url": "http://example.org/a.jpg"}}
    assert [asked.target.split("=")[0] for asked in server.asked[1:]] == ["/jobs/job_1?wait"] * 2


def test_detect_is_one_request_when_the_job_ends_in_time(server: JobServer, service: Spotter) -> None:
    server.will_answer(JOB)
    assert service.detect(b"x").done
    assert len(server.asked) == 1
    assert server.asked[0].headers["prefer"] == "wait=60"


def test_wait_ends_with_its_time(server: JobServer, service: Spotter) -> None:
    server.will_answer(QUEUED)
    began = time.monotonic()
    with pytest.raises(SpotterTimeout, match=r"^Job job_1 has not ended within 0\.4 s; it goes on\.$"):
        service.wait("job_1", timeout_s=0.4)
    assert 0.4 <= time.monotonic() - began < 5
    assert len(server.asked) <= 6  # and it does not hammer a service that answers at once


def test_wait_outlasts_an_overload(server: JobServer, service: Spotter) -> None:
    server.will_answer(PROBLEM, status=503, headers={"Retry-After": "0"})
    server.will_answer(JOB)
    assert service.wait("job_1", timeout_s=10).done


def test_wait_does_not_outlast_a_missing_job(server: JobServer, service: Spotter) -> None:
    server.will_answer({**PROBLEM, "code": "job_not_found"}, status=404)
    with pytest.raises(SpotterApiError) as caught:
        service.wait("job_1", timeout_s=10)
    assert caught.value.code == "job_not_found"


def test_a_problem_becomes_an_error_with_all_its_fields(server: JobServer, service: Spotter) -> None:
    server.will_answer(PROBLEM, status=503, headers={"Retry-After": "7"})
    with pytest.raises(SpotterApiError) as caught:
        service.submit(b"x")
    error = caught.value
    assert (error.code, error.title, error.detail) == ("queue_full", "The queue is full", "There is no room.")
    assert (error.status, error.request_id, error.retry_after_s) == (503, "req_7", 7.0)
    assert error.errors == (("image", "too many"),)
    assert str(error) == "There is no room.; image: too many (queue_full, HTTP 503)"


def test_an_answer_that_is_no_problem_document(server: JobServer, service: Spotter) -> None:
    server.will_answer(b"<html>Bad gateway</html>", status=502)
    with pytest.raises(SpotterApiError) as caught:
        service.models()
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("http_502", 502, None)


def test_jobs_are_read_page_by_page_with_the_filters_kept(server: JobServer, service: Spotter) -> None:
    page = [{**QUEUED, "id": f"job_{number}"} for number in range(3)]
    server.will_answer(
        {"jobs": page, "next": "12.job_2"}, {"jobs": [], "next": "9.job_9"}, {"jobs": page, "next": None}
    )
    assert [job.id for job in service.jobs(5, status="queued")] == ["job_0", "job_1", "job_2", "job_0", "job_1"]
    assert [asked.target for asked in server.asked] == [
        "/jobs?status=queued&limit=5",
        "/jobs?status=queued&limit=5&after=12.job_2",
        "/jobs?status=queued&limit=5&after=9.job_9",
    ]


def test_cancel_picture_and_models(server: JobServer, service: Spotter) -> None:
    server.will_answer({**QUEUED, "status": "canceled"}, b"JPEG", b"PNG", {"models": [{"name": "yolov3-tiny"}]})
    assert service.cancel("job_1").status == "canceled"
    assert service.picture("job_1", 2) == b"JPEG"
    assert service.picture("a/b", 0, draw=False) == b"PNG"
    assert service.models() == [{"name": "yolov3-tiny"}]
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("POST", "/jobs/job_1/cancel"),
        ("GET", "/jobs/job_1/pictures/2?draw=true"),
        ("GET", "/jobs/a%2Fb/pictures/0"),
        ("GET", "/models"),
    ]
    assert server.asked[1].headers["accept"].startswith("image/jpeg")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")  # must not be asked for our own machine
    url = f"http://127.0.0.1:{free_port()}"
    with Spotter(url) as service, pytest.raises(SpotterUnreachable, match=f"^Spotter does not answer at {url}"):
        service.models()


def test_wrong_calls(service: Spotter) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        service.submit()
    with pytest.raises(FileNotFoundError):
        service.submit("no-such-file.jpg")

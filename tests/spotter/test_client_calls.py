"""The SDK against the API itself: what the service says of a job is what a user of the SDK gets."""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from api import formats
from spotter import Spotter, SpotterApiError, SpotterTimeout, SpotterUnreachable, client, following
from tests.api.formats.samples import DOG, picture
from tests.shared.store_samples import bad
from tests.spotter.job_server import QUEUED, serving

URL = "https://example.com/dog.jpg"


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, b"\xff\xd8 a picture")
    return path


def test_the_forms_are_those_of_the_service() -> None:
    assert set(get_args(client.Format)) == set(get_args(formats.FormatName))
    assert set(get_args(client.LineFormat)) == set(get_args(formats.LineFormat))
    assert set(get_args(client.ExportFormat)) == set(get_args(formats.ExportFormat))


def test_an_id_or_a_key_of_ones_own_makes_one_job(service: Spotter) -> None:
    first = service.submit(URL, job_id="job_mine-1", threshold=0.5)
    assert first.id == "job_mine-1"
    assert service.submit(URL, job_id="job_mine-1", threshold=0.5).id == first.id
    with pytest.raises(SpotterApiError) as caught:
        service.submit(URL, job_id="job_mine-1", threshold=0.6)
    assert (caught.value.code, caught.value.status) == ("job_id_taken", 409)
    keyed = service.submit(URL, idempotency_key="order 7")
    assert service.submit(URL, idempotency_key="order 7").id == keyed.id
    assert len(list(service.jobs())) == 2


def test_a_zip_is_a_job_of_its_pictures(service: Spotter, dogs: None, tmp_path: Path) -> None:
    path = archive(tmp_path / "shots.ZIP", "a/one.jpg", "two.png", "notes.txt")
    with pytest.raises(SpotterApiError) as caught:
        service.submit(path)
    assert [field for field, _ in caught.value.errors] == ["file/notes.txt"]
    job = service.detect(path, others="skip", priority="low", timeout_s=10)
    assert [(one.id, one.detections[0].label) for one in job.pictures] == [("a/one.jpg", "dog"), ("two.png", "dog")]


def test_sources_may_be_given_as_the_service_has_them(service: Spotter) -> None:
    job = service.submit({"url": URL, "id": "front door"}, b"bytes", metadata={"camera": "7"})
    assert [one.id for one in service.job(job.id).pictures] == ["front door", None]
    assert [one.id for one in service.jobs(metadata={"camera": "7"})] == [job.id]
    assert list(service.jobs(metadata={"camera": "8"})) == []


def test_what_did_not_succeed_is_tried_again_and_what_is_deleted_is_gone(service: Spotter, worker: Any) -> None:
    job = service.submit(URL, URL)
    worker.finish(worker.take()[0], picture(DOG))
    worker.finish(worker.take()[0], bad(1))
    assert service.wait(job.id, 5).counts.failed == 1
    again = service.retry(job.id)
    assert (again.id, again.status, again.counts.succeeded) == (job.id, "queued", 1)
    worker.finish_all()
    assert service.wait(job.id, 5).counts.succeeded == 2
    service.delete(job.id)
    with pytest.raises(SpotterApiError) as caught:
        service.job(job.id)
    assert caught.value.code == "job_not_found"


def test_results_in_the_forms_of_others(service: Spotter, dogs: None, tmp_path: Path) -> None:
    one = service.submit(URL)
    roboflow = service.formatted(one.id, "roboflow", wait_s=10)
    assert [(box["class"], box["x"], box["y"]) for box in roboflow["predictions"]] == [("dog", 253.0, 369.0)]
    assert service.formatted(one.id, "yolo").split()[1:] == ["0.329427", "0.640625", "0.335938", "0.517361"]
    two = service.detect(URL, URL, timeout_s=10)
    with zipfile.ZipFile(io.BytesIO(service.formatted(two.id, "voc"))) as voc:
        assert sum(name.endswith(".xml") for name in voc.namelist()) == 2
    assert [line["predictions"][0]["label"] for line in service.lines(two.id, "deepstack")] == ["dog", "dog"]


def test_a_data_set_comes_into_a_file_whole_or_not_at_all(service: Spotter, dogs: None, tmp_path: Path) -> None:
    job = service.detect(URL, URL, timeout_s=10)
    assert service.export(job.id, "coco", tmp_path) == tmp_path / f"{job.id}.coco.json"
    assert (tmp_path / f"{job.id}.coco.json").read_bytes() == httpx.get(
        f"{service.base_url}/jobs/{job.id}/export?format=coco"
    ).content
    named = service.export(job.id, "yolo", tmp_path / "labels.zip")
    assert zipfile.is_zipfile(named)
    with pytest.raises(SpotterApiError):
        service.export("job_none", "csv", tmp_path / "none.csv")
    with serving() as broken:
        broken.will_answer(b"half of it", headers={"Content-Length": "1000", "Connection": "close"})
        with Spotter(broken.url, timeout_s=5) as other, pytest.raises(SpotterUnreachable):
            other.export("job_1", "csv", tmp_path / "half.csv")
    assert {path.name for path in tmp_path.iterdir()} == {f"{job.id}.coco.json", "labels.zip"}


def test_a_name_may_hold_what_unicode_calls_a_line_end(service: Spotter, worker: Any) -> None:
    name = "one\u2028two\x85three"
    job = service.submit({"url": URL, "id": name})
    worker.finish(worker.take()[0], picture(DOG).model_copy(update={"id": name}))
    assert [one.id for one in service.results(job.id)] == [name]
    assert [event.picture.id for event in service.follow(job.id, timeout_s=5) if event.picture] == [name]


def test_a_job_is_followed_to_its_end_and_from_any_event_on(service: Spotter, worker: Any) -> None:
    job = service.submit(URL)
    heard = service.follow(job.id, timeout_s=10)
    events = [next(heard)]
    worker.finish(worker.take()[0], picture(DOG))
    events += heard
    assert [event.name for event in events] == ["queued", "running", "picture", "succeeded"]
    assert [event.picture.detections[0].label for event in events if event.picture] == ["dog"]
    assert [event.last for event in events] == [False, False, False, True]
    assert list(service.follow(job.id, after=events[2].id, timeout_s=5)) == events[3:]
    assert list(service.follow(job.id, after=events[3].id, timeout_s=5)) == []


def test_a_broken_stream_is_taken_up_where_it_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_S", 0.01)
    story = [
        b"retry: 2000\n\nevent: queued\nid: 0-0-q\ndata: {}\n\n:\n\nevent: running\nid: 0-0-r\ndata: {}\n\n"
        b'event: picture\nid: 0-1-r\ndata: {"ind',
        b'event: succeeded\nid: 0-1-e\ndata: {"status": "succeeded"}\n\n',
    ]
    busy = {"code": "too_many_listeners", "title": "Enough wait", "detail": "", "status": 429}
    with serving() as server, Spotter(server.url, timeout_s=5) as other:
        server.will_answer(story[0])
        server.will_answer(busy, status=429, headers={"Retry-After": "0"})
        server.will_answer(story[1])
        assert [event.name for event in other.follow("job_1", timeout_s=10)] == ["queued", "running", "succeeded"]
        assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "0-0-r", "0-0-r"]


def test_following_ends_with_its_time_and_what_is_not_there_is_said(service: Spotter) -> None:
    job = service.submit(URL)
    with pytest.raises(SpotterTimeout, match=r"within 0\.4 s; it goes on"):
        list(service.follow(job.id, timeout_s=0.4))
    with pytest.raises(SpotterApiError) as caught:
        list(service.follow("job_none", timeout_s=5))
    assert caught.value.code == "job_not_found"


def test_a_list_in_s3_is_named_and_not_read() -> None:
    with serving() as server, Spotter(server.url) as other:
        server.will_answer(QUEUED, status=202)
        other.submit(manifest="s3://bucket/list.jsonl", model="m")
        with pytest.raises(ValueError, match="a manifest in their place"):
            other.submit(URL, manifest="s3://bucket/list.jsonl")
    (asked,) = server.asked
    assert json.loads(asked.body) == {"manifest": {"s3": "s3://bucket/list.jsonl"}, "model": "m"}


def test_one_client_serves_many_threads(service: Spotter, dogs: None) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(service.detect, URL, timeout_s=10) for _ in range(16)]
        assert {one.result().counts.succeeded for one in found} == {1}


def test_an_upload_is_sent_once_for_several_jobs(service: Spotter, dogs: None, tmp_path: Path) -> None:
    path = tmp_path / "shot.jpg"
    path.write_bytes(b"\xff\xd8 a picture")
    source = service.upload(path, keep_s=600)
    assert [service.detect(source, threshold=at, timeout_s=10).status for at in (0.3, 0.6)] == ["succeeded"] * 2
    service.drop_upload(source["upload"])
    with pytest.raises(SpotterApiError) as caught:
        service.submit(source)
    assert caught.value.code == "invalid_request"
    with pytest.raises(SpotterApiError) as caught:
        service.drop_upload(source["upload"])
    assert caught.value.code == "upload_not_found"

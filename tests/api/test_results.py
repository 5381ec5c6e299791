"""Results as JSON Lines: of bulk jobs, while they run and after they ended early."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from spotter.client import Spotter
from tests.api.conftest import Serve
from tests.api.test_events import process
from tests.waiting import until

URL = {"url": "https://example.com/dog.jpg"}


def lines(api: httpx.Client, job: str) -> list[dict[str, Any]]:
    answer = api.get(f"/jobs/{job}/results")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_bulk_job_streams_what_is_there(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [URL] * 450}).json()
    assert job["results"] is None
    assert job["links"]["results"] == f"/jobs/{job['id']}/results"
    assert lines(api, job["id"]) == []
    first, *_ = worker.take(16)
    worker.finish(first)
    assert [line["index"] for line in lines(api, job["id"])] == [0]
    assert worker.finish_all() == 450 - 16
    api.post(f"/jobs/{job['id']}/cancel")
    found = lines(api, job["id"])
    assert [line["index"] for line in found] == list(range(450))
    assert [line["status"] for line in found].count("canceled") == 15


def test_the_lines_are_what_the_job_shows(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [URL | {"id": "a"}, URL]}).json()["id"]
    worker.finish_all()
    assert lines(api, job) == api.get(f"/jobs/{job}").json()["results"]
    with Spotter(str(api.base_url)) as service:
        assert [(one.index, one.id, one.status) for one in service.results(job)] == [
            (0, None, "succeeded"),
            (1, None, "succeeded"),
        ]
    assert api.get("/jobs/job_none/results").json()["code"] == "job_not_found"


def pages(api: httpx.Client, address: str) -> tuple[list[dict[str, Any]], str | None]:
    """The lines from `address` on, as far as there are any, and where the rest will be."""
    found = []
    while True:
        answer = api.get(address)
        assert answer.headers["content-type"] == "application/x-ndjson"
        found += [json.loads(line) for line in answer.text.splitlines()]
        address = answer.links.get("next", {}).get("url", "")
        if not address or "Retry-After" in answer.headers:
            return found, address or None


def test_pages_come_in_the_order_of_results_and_each_result_once(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [URL] * 60}).json()["id"]
    seen, rest = pages(api, f"/jobs/{job}/results?limit=7")
    assert (seen, rest) == ([], f"/jobs/{job}/results?limit=7&after=0")
    held = worker.take(8)
    for one in reversed(held):
        worker.finish(one)
    assert rest is not None
    seen, rest = pages(api, rest)
    assert [(line["index"], line["place"]) for line in seen] == [(7 - k, k + 1) for k in range(8)]
    worker.finish_all()
    assert rest is not None
    more, rest = pages(api, rest)
    assert rest is None
    assert [line["place"] for line in seen + more] == list(range(1, 61))
    assert sorted(line["index"] for line in seen + more) == list(range(60))
    by_index = lines(api, job)
    assert sorted((line["index"], line["detections"] is None) for line in seen + more) == [
        (line["index"], line["detections"] is None) for line in by_index
    ]
    assert pages(api, f"/jobs/{job}/results?after=58")[0] == more[-2:]


def test_pages_end_with_a_job_that_is_canceled(api: httpx.Client, worker: Any) -> None:
    job = api.post("/jobs", json={"images": [URL] * 20}).json()["id"]
    worker.finish(worker.take()[0])
    api.post(f"/jobs/{job}/cancel")
    found, rest = pages(api, f"/jobs/{job}/results?limit=1")
    assert ([line["index"] for line in found], rest) == ([0], None)
    assert api.get(f"/jobs/{job}/results?limit=201").status_code == 422


# -- follow ------------------------------------------------------------------------------------------------------------


@contextmanager
def following(client: httpx.Client, job: str, after: int = 0) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines as they come; reading past the last one waits for the end of the answer."""
    with client.stream("GET", f"/jobs/{job}/results?follow=true&after={after}") as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert "content-length" not in answer.headers
        yield (json.loads(line) for line in answer.iter_lines())


def test_results_come_one_by_one_while_the_job_runs(serve: Serve, worker: Any) -> None:
    api, other = serve(), serve()
    job = api.post("/jobs", json={"images": [URL] * 5}).json()["id"]
    seen = []
    with following(api, job) as found, following(other, job) as heard_elsewhere:
        for one in reversed([one for _ in range(5) for one in worker.take()]):
            worker.finish(one)
            seen.append(next(found))
            assert seen[-1] == next(heard_elsewhere)
        assert (list(found), list(heard_elsewhere)) == ([], [])
    assert [(line["index"], line["place"]) for line in seen] == [(4, 1), (3, 2), (2, 3), (1, 4), (0, 5)]
    assert pages(api, f"/jobs/{job}/results?limit=3")[0] == seen
    assert lines(api, f"{job}")[0] == {name: value for name, value in seen[-1].items() if name != "place"}
    with following(other, job, after=3) as rest:
        assert list(rest) == seen[3:]


def test_a_quiet_follower_outlives_every_deadline_and_reads_nothing_but_lines(
    serve: Serve, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.events.HEARTBEAT_S", 0.1)
    quick = serve(header_timeout_s=0.4, body_timeout_s=0.4, answer_timeout_s=0.4)
    job = quick.post("/jobs", json={"images": [URL] * 2}).json()["id"]
    with following(quick, job) as found:
        worker.finish(*worker.take())
        assert next(found)["place"] == 1
        ending = threading.Timer(1.2, quick.post, [f"/jobs/{job}/cancel"])
        ending.start()
        assert list(found) == []
        ending.join()


@pytest.mark.parametrize("why", ["deleted", "drained"])
def test_an_answer_that_is_not_whole_is_broken_off(serve: Serve, worker: Any, redis_url: str, why: str) -> None:
    api = serve()
    job = api.post("/jobs", json={"images": [URL] * 3}).json()["id"]
    with process(redis_url) as (ending, client), following(client, job) as found:
        worker.finish(*worker.take())
        assert next(found)["place"] == 1
        if why == "deleted":
            assert api.delete(f"/jobs/{job}").status_code == 204
        else:
            ending.terminate()
        with pytest.raises(httpx.RemoteProtocolError):
            list(found)
        if why == "drained":
            assert ending.wait(5) in (0, -signal.SIGTERM)
            worker.finish_all()
            with following(api, job, after=1) as rest:
                assert [line["place"] for line in rest] == [2, 3]


def test_followers_are_listeners(serve: Serve) -> None:
    few = serve(owner_listeners=1)
    job = few.post("/jobs", json={"images": [URL] * 2}).json()["id"]
    with httpx.Client(base_url=few.base_url) as other, following(other, job):
        for path in (f"/jobs/{job}/results?follow=true", f"/jobs/{job}/events"):
            assert few.get(path).json()["code"] == "too_many_listeners"
        assert few.get(f"/jobs/{job}/results").status_code == 200
    until(lambda: few.get(f"/jobs/{job}?wait=1").status_code == 200)  # the other has left


@pytest.mark.parametrize(("query", "field"), [("limit=5", "limit"), ("format=coco", "format"), ("after=-1", "after")])
def test_what_does_not_go_with_follow(api: httpx.Client, query: str, field: str) -> None:
    job = api.post("/jobs", json={"image": URL}).json()["id"]
    answer = api.get(f"/jobs/{job}/results?follow=true&{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"].split(".")[-1]) == (422, field)
    answer = api.get("/jobs/job_none/results?follow=true")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")

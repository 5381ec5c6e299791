"""Results as JSON Lines: of bulk jobs, while they run and after they ended early."""

from __future__ import annotations

import json
from typing import Any

import httpx

from spotter.client import Spotter

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

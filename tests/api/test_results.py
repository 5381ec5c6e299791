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

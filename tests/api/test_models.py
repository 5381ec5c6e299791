"""Models over HTTP: versions, aliases and refusals; and jobs that name them."""

from __future__ import annotations

from typing import Any

import httpx

from shared.reports import Refusal
from shared.steps import claim, finish
from shared.store import JobStore
from tests.shared.store_samples import BY, good

URL = {"image": {"url": "https://example.com/dog.jpg"}}


def post(api: httpx.Client, model: str) -> dict[str, Any]:
    answer = api.post("/jobs", json=URL | {"model": model})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_a_model_shows_its_versions_aliases_workers_and_refusals(api: httpx.Client, worker: Any) -> None:
    broken = Refusal(version="3", reason="m/3/model.onnx is not the file that ...", at_ms=1_700_000_000_123)
    worker.announce("m", ("1", "2"), "2", {"stable": "1"}, (broken,))
    worker.announce("m", ("1",), "1", {"stable": "1"}, worker="w2")
    shown = api.get("/models/m").json()
    assert (shown["version"], shown["sha256"], shown["family"], shown["labels"]) == (
        "2", "2" * 64, "darknet", ["dog", "cat"],
    )  # fmt: skip
    assert shown["aliases"] == {"stable": "1"}
    frame = {"width": 416, "height": 416}
    assert shown["versions"] == [
        {"version": v, "sha256": v * 64, "family": "darknet", "classes": 2, "frame": frame} for v in ("1", "2")
    ]
    serving = {(one["worker"], one["version"]) for one in shown["workers"]}
    assert serving == {("w1", "1"), ("w1", "2"), ("w2", "1")}
    assert shown["refused"] == [
        {"worker": "w1", "version": "3", "reason": broken.reason, "at": "2023-11-14T22:13:20.123Z"}
    ]
    assert api.get("/models").json() == {"models": [shown]}
    assert api.get("/models/m@stable").json() == shown | {"version": "1", "sha256": "1" * 64}
    missing = api.get("/models/m@3")
    assert (missing.status_code, missing.json()["code"]) == (404, "model_not_found")
    assert "m@1, m@2" in missing.json()["detail"]


def test_a_model_of_which_nothing_could_be_loaded_shows_why(api: httpx.Client, worker: Any) -> None:
    worker.announce("n", (), None, None, (Refusal(version="1", reason="broken", at_ms=0),))
    shown = api.get("/models/n").json()
    assert (shown["version"], shown["labels"], shown["versions"], shown["workers"]) == (None, None, [], [])
    assert shown["refused"][0]["reason"] == "broken"
    assert api.post("/jobs", json=URL | {"model": "n"}).json()["code"] == "unknown_model"
    assert api.get("/readyz").status_code == 503


def test_an_alias_is_bound_to_its_version_when_the_job_is_accepted(
    api: httpx.Client, worker: Any, store: JobStore
) -> None:
    worker.announce("m", ("1", "2"), "2", {"stable": "1"})
    job = post(api, "m@stable")
    assert job["model"] == {"name": "m", "version": "1", "sha256": None}
    worker.announce("m", ("1", "2"), "2", {"stable": "2"})
    assert worker.take() == [], "it waits in the queue of its version"
    (held,) = store.run(claim("m@1", 1, 30))
    assert held.job.id == job["id"]


def test_what_is_new_is_known_at_once(api: httpx.Client, worker: Any) -> None:
    worker.announce("m", ("1",))
    post(api, "m@1")
    worker.announce("m", ("1", "2"), "2")
    assert post(api, "m@2")["model"]["version"] == "2"
    assert api.post("/jobs", json=URL | {"model": "m@3"}).json()["code"] == "unknown_model"


def test_jobs_are_listed_by_name_and_by_version(api: httpx.Client, worker: Any, store: JobStore) -> None:
    worker.announce("m", ("1", "2"), "2")
    worker.announce("n", ("1",), worker="w2")
    bare, bound, other = (post(api, model)["id"] for model in ("m", "m@2", "n"))

    def listed(model: str) -> set[str]:
        return {job["id"] for job in api.get("/jobs", params={"model": model}).json()["jobs"]}

    assert (listed("m"), listed("m@2"), listed("m@1"), listed("n")) == ({bare, bound}, {bound}, set(), {other})
    (held,) = worker.take()
    store.run(finish(held, good().model_copy(update={"version": "1"}), BY))
    assert (listed("m"), listed("m@1")) == ({bare, bound}, {bare})
    (result,) = api.get(f"/jobs/{bare}").json()["results"]
    assert result["version"] == "1"


def test_metrics_tell_versions_apart(api: httpx.Client, worker: Any) -> None:
    worker.announce("m", ("1", "2"), "2")
    post(api, "m@2")
    text = api.get("/metrics").text
    assert 'spotter_workers{model="m",precision="fp32",provider="cpu",version="1"} 1.0' in text
    assert 'spotter_queue_pictures{model="m@2"} 1.0' in text

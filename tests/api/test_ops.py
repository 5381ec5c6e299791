"""Health, readiness, metrics, models, pictures, and the shape of errors outside the job routes."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from shared.schema import JobView
from shared.store import JobStore

URL = {"image": {"url": "https://example.com/dog.jpg"}}


def test_ready_means_a_live_worker_for_the_default_model(api: httpx.Client, worker: Any) -> None:
    assert api.get("/healthz").json() == {"status": "alive"}
    waiting = api.get("/readyz")
    assert waiting.status_code == 503
    assert waiting.json()["reason"] == "no live worker serves m"
    worker.announce("other")
    assert api.get("/readyz").status_code == 503
    worker.announce("m")
    ready = api.get("/readyz").json()
    assert ready["store"].pop("memory_used") == 0, "the tests' server has no bound"
    store = {"append_only_log": "off", "when_full": "noeviction"}
    assert ready == {"status": "ready", "workers": 1, "model": "m", "store": store}


def test_models_show_who_serves_them(api: httpx.Client, worker: Any) -> None:
    assert api.get("/models").json() == {"models": []}
    worker.announce("m")
    assert api.get("/models/other").json()["code"] == "model_not_found"


def test_a_model_shows_its_labels_frame_and_workers(api: httpx.Client, worker: Any) -> None:
    worker.announce("m")
    model = api.get("/models/m").json()
    assert model["labels"] == ["dog", "cat"]
    assert model["frame"] == {"width": 416, "height": 416}
    assert model["default"] is True
    assert model["workers"][0]["provider"] == "cpu"
    assert api.get("/models").json()["models"] == [model]


def test_metrics_are_prometheus_text(api: httpx.Client, worker: Any) -> None:
    worker.announce("m")
    for _ in range(3):
        api.post("/jobs", json=URL)
    (held,) = worker.take()
    worker.finish(held)
    families = {family.name: family for family in text_string_to_metric_families(api.get("/metrics").text)}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values[("spotter_jobs_accepted_total", ("model", "m"))] == 3
    assert values[("spotter_jobs_ended_total", ("model", "m"), ("status", "succeeded"))] == 1
    assert values[("spotter_queue_pictures", ("model", "m"))] == 2
    assert values[("spotter_stage_seconds_sum", ("stage", "infer"), ("worker", "w1"))] == 40
    assert values[("spotter_stage_seconds_count", ("stage", "infer"), ("worker", "w1"))] == 1
    assert families["spotter_stage_seconds"].type == "histogram"


def test_the_annotated_picture_comes_in_the_format_asked_for(api: httpx.Client, worker: Any, store: JobStore) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "JPEG")
    job = api.post("/jobs", content=b"bytes", headers={"content-type": "image/jpeg"}).json()["id"]
    address = f"/jobs/{job}/pictures/0?draw=true"
    assert api.get(address).json()["code"] == "picture_not_stored"
    (held,) = worker.take()
    worker.draw(held, out.getvalue())
    for accept, kind in (("*/*", "jpeg"), ("image/png", "png"), ("image/webp;q=0.9, image/png;q=0.1", "webp")):
        answer = api.get(address, headers={"Accept": accept})
        assert answer.headers["content-type"] == f"image/{kind}"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, image.size) == (kind.upper(), (40, 30))
    odd = api.get(address, headers={b"Accept": b"image/png;q=\xb2, image/webp;q=0.1"})  # a superscript two: no weight
    assert odd.headers["content-type"] == "image/webp"
    assert api.get(address, headers={"Accept": "text/html"}).status_code == 406
    assert api.get(f"/jobs/{job}/pictures/1").json()["code"] == "picture_not_found"
    assert api.get("/jobs/job_none/pictures/0").json()["code"] == "job_not_found"
    by_url = api.post("/jobs", json=URL).json()["id"]
    assert api.get(f"/jobs/{by_url}/pictures/0").json()["code"] == "picture_not_stored"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", "route_not_found"),
        ("DELETE", "/healthz", "method_not_allowed"),
        ("GET", "/jobs?limit=0", "invalid_request"),
        ("GET", "/jobs?created_before=0", "invalid_request"),  # a number is no time of RFC 3339
        ("GET", "/jobs?created_after=1767323045.5", "invalid_request"),
    ],
)
def test_every_error_is_a_problem(api: httpx.Client, method: str, path: str, code: str) -> None:
    answer = api.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code


def test_the_openapi_document_describes_the_body_and_the_problems(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    content = document["paths"]["/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "image/*", "application/zip"}
    schemas = document["components"]["schemas"]
    text = str(document)
    missing = [
        name for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]} if name not in schemas
    ]
    assert missing == []
    assert api.get("/docs").status_code == 200


def test_the_openapi_document_is_valid_and_its_webhooks_are_as_they_say(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    validate(document)
    ends = {"job.succeeded", "job.failed", "job.canceled", "job.expired"}
    assert set(document["webhooks"]) == ends | {"webhook.test"}
    schemas = {"components": document["components"]}
    for name, event in document["webhooks"].items():
        content = event["post"]["requestBody"]["content"]["application/json"]
        OAS31Validator(content["schema"] | schemas).validate(content["example"])
        assert content["example"]["type"] == name
        if name in ends:
            JobView.model_validate(content["example"]["data"])
    for model in ("JobView", "Problem"):
        (example,) = document["components"]["schemas"][model]["examples"]
        OAS31Validator({"$ref": f"#/components/schemas/{model}"} | schemas).validate(example)

"""A short form of the API fuzz: every operation of the document is met, and answers as the document says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.routes import webhooks
from bench.faults.api_asking import Store
from bench.faults.api_checks import Judge, codes
from bench.faults.api_fuzz import SETTINGS, Fuzz
from shared.connection import connect
from shared.errors import FetchFailed
from shared.schema import ImageSize, PictureFailure, PictureResult, UploadSource
from shared.steps import linger
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.roles import as_role
from tests.shared.store_samples import good
from tests.waiting import meanwhile

FAILED = PictureFailure(code=FetchFailed.code, title=FetchFailed.title, detail="It does not answer.")


@contextmanager
def working(worker: Any, store: JobStore) -> Iterator[None]:
    """Every picture that waits is answered at once: uploads with detections, addresses with an error."""

    def work(over: threading.Event) -> None:
        while not over.is_set():
            worker.announce("m")
            for held in [*worker.take(16), *worker.take(16, "m@1")]:
                if isinstance(held.source, UploadSource):
                    worker.draw(held, b"\xff\xd8\xff drawn")
                    worker.finish(held, good(held.index).model_copy(update={"image": ImageSize(width=8, height=8)}))
                else:
                    worker.finish(held, PictureResult(index=held.index, status="failed", error=FAILED))
            store.run(linger("m", 0.05))

    with meanwhile(work):
        yield


def test_whatever_is_sent_to_any_operation_is_answered_as_the_document_says(
    serve: Serve, store: JobStore, worker: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TEST_SPARE_S", 0.0)  # nobody makes these attempts here
    api = serve(**SETTINGS | {"auth": "keys", "webhook_timeout_s": 0.05, "adapter_wait_s": 10})
    base_url = str(api.base_url).rstrip("/")
    with connect(as_role(redis_url, "worker"), "test") as client, working(worker, JobStore(client)):
        fuzz = Fuzz(base_url, Store(store, JobStore(client)), "m", 7)
        found = fuzz.run(400)
    assert "\n".join(found.wrong) == ""
    assert set(found.operations) == {operation.label for operation in fuzz.operations}
    document = api.get("/openapi.json", headers=fuzz.headers).json()
    assert len(fuzz.operations) == sum(len(item) for item in document["paths"].values())
    assert {200, 201, 202, 204, 401, 403, 404, 409, 422} <= set(found.statuses)


PROBLEM = {"type": "t", "title": "t", "status": 404, "detail": "d", "instance": "/", "code": "job_not_found"}
OPERATION = {
    "responses": {
        "200": {"content": {"application/json": {}}},
        "404": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}},
    }
}


@pytest.mark.parametrize(
    ("status", "kind", "content", "said"),
    [
        (200, "application/json", b"{}", None),
        (200, "text/html", b"", "200 came as text/html"),
        (418, "application/json", b"{}", "418 is not in the document"),
        (500, "application/problem+json", b"{}", "500 b"),
        (404, "application/problem+json", b"{}", "404 is not a whole problem"),
        (404, "application/problem+json", b"[", "404 is not a whole problem"),
        (404, "application/json", json.dumps(PROBLEM | {"request_id": "r"}).encode(), "404"),
        (404, "application/problem+json", json.dumps(PROBLEM | {"request_id": "r"}).encode(), None),
        (404, "application/problem+json", json.dumps(PROBLEM).encode(), "404 is not a whole problem"),
        (
            404,
            "application/problem+json",
            json.dumps(PROBLEM | {"request_id": "r", "code": "x"}).encode(),
            "404 is not",
        ),
        (404, "application/problem+json", json.dumps(PROBLEM | {"request_id": "r", "status": 400}).encode(), "404 is"),
    ],
)
def test_the_judge_sees_what_is_wrong(status: int, kind: str, content: bytes, said: str | None) -> None:
    found = Judge().plain(OPERATION, status, {"content-type": [kind]}, content)
    assert bool(found) == (said is not None)
    if said is not None:
        assert found[0].startswith(said)


def test_the_stable_codes_are_those_of_the_error_tree() -> None:
    assert {"job_not_found", "queue_full", "internal", "unauthorized"} <= codes()
    assert "http_418" not in codes()

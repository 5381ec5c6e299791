"""What all adapters share, with two that differ in their content type alone and say errors in a form of their own."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from api import adapters
from api.adapters.bodies import FORMS, from_base64, number, read_form, read_json
from api.adapters.credentials import in_form, in_header, in_json, in_query, key_in
from api.adapters.detecting import detections
from api.adapters.document import errors
from api.adapters.foreign import JOB_HEADER, foreign_route
from api.keys import Caller
from api.scopes import requires
from api.state import Shared
from shared.errors import InvalidRequest, QueueFull, SpotterError
from shared.keys import KeyRecord, add_key, digest, key_id, new_key
from shared.store import JobStore
from tests.api.adapters.conftest import BusyWorker
from tests.api.conftest import Serve
from tests.shared.store_samples import bad


def _write(error: SpotterError) -> Response:
    return Response(f"wrong: {error.code}", error.http_status, media_type="text/plain")


def _sample(reads: tuple[str, ...]) -> APIRouter:
    router = APIRouter(route_class=foreign_route(_write, reads), responses=errors("text/plain"))
    place = (in_form("key"),) if reads is FORMS else (in_json("key"), in_header("x-key"), in_query("key"))
    by = Depends(requires("jobs:write", key_in(*place)))

    async def find(request: Request, state: Shared, caller: Caller = by) -> Response:
        if reads is FORMS:
            form = await read_form(request)
            data = form.file("image").data
            threshold = number(form.fields.get("threshold"), "threshold", 0.5)
        else:
            document = await read_json(request)
            data, threshold = from_base64(document["data"], "data", 1000), document.get("threshold")
        (found,) = await detections(state, caller, [data], {"options": {"threshold": threshold}})
        return Response(f"{reads[0]} {found.status}", media_type="text/plain")

    router.add_api_route(
        "/find", find, methods=["POST"], name=f"find {len(reads)}", summary=reads[0], openapi_extra={
            "requestBody": {"content": {kind: {"schema": {"type": "object"}} for kind in reads}}
        },
    )  # fmt: skip
    return router


@pytest.fixture(autouse=True)
def _samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, reads in (("forms", FORMS), ("json", ("application/json",))):
        monkeypatch.setitem(adapters.ADAPTERS, name, _sample(reads))


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(adapters=("forms", "json"))


JSON = {"data": base64.b64encode(b"picture").decode()}


def test_the_content_type_chooses(api: httpx.Client, busy: BusyWorker) -> None:
    assert api.post("/find", files={"image": b"picture"}).text == "multipart/form-data succeeded"
    answer = api.post("/find", json=JSON | {"threshold": 0.25})
    assert answer.text == "application/json succeeded"
    assert busy.seen[1].data == b"picture"
    assert (busy.seen[0].job.options.threshold, busy.seen[1].job.options.threshold) == (0.5, 0.25)
    assert answer.headers[JOB_HEADER] == busy.seen[1].job.id


@pytest.mark.parametrize(("setting", "kept_s"), [(20, 20), (86_400, 3600)])
def test_a_foreign_job_is_kept_for_an_hour_at_most(serve: Serve, busy: BusyWorker, setting: int, kept_s: int) -> None:
    serve(adapters=("json",), retain_s=setting).post("/find", json=JSON)
    assert busy.seen[0].job.retain_s == kept_s


@pytest.mark.parametrize(
    ("method", "sent", "status", "code"),
    [
        ("POST", {"content": b"x", "headers": {"content-type": "text/csv"}}, 415, "unsupported_media"),
        ("POST", {"content": b"x"}, 415, "unsupported_media"),
        ("DELETE", {}, 405, "method_not_allowed"),
        ("POST", {"json": {"data": "-"}}, 422, "invalid_request"),
        ("POST", {"json": {"data": ""}}, 422, "invalid_request"),
        ("POST", {"json": JSON | {"threshold": 2}}, 422, "invalid_request"),
        ("POST", {"json": {}}, 500, "internal"),
        ("POST", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad_json"),
        ("POST", {"files": {"other": b"picture"}}, 422, "invalid_request"),
        ("POST", {"data": {"threshold": "0.5"}}, 422, "invalid_request"),
        ("POST", {"files": {"image": b"p"}, "data": {"threshold": "much"}}, 422, "invalid_request"),
        ("POST", {"files": {"image": b"p"}, "data": {"threshold": "nan"}}, 422, "invalid_request"),
        ("POST", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "invalid_request"),
        (
            "POST",
            {"content": b" " * 70_000_000, "headers": {"content-type": "application/json"}},
            413,
            "body_too_large",
        ),
    ],
)
def test_every_error_has_the_foreign_form(
    api: httpx.Client, method: str, sent: dict[str, Any], status: int, code: str
) -> None:
    answer = api.request(method, "/find", **sent)
    assert (answer.status_code, answer.text) == (status, f"wrong: {code}")
    assert JOB_HEADER not in answer.headers
    if status == 405:
        assert answer.headers["allow"] == "POST"


def test_a_full_queue_says_when_to_come_again(serve: Serve, worker: Any) -> None:
    worker.announce("m")
    api = serve(adapters=("json",), queue_limit=1, adapter_wait_s=0.05)
    answers = [api.post("/find", json=JSON) for _ in range(3)]
    assert [answer.text for answer in answers][-1] == f"wrong: {QueueFull.code}"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert JOB_HEADER not in answers[-1].headers


def test_the_wait_has_an_end_and_the_job_goes_on(serve: Serve, worker: Any) -> None:
    worker.announce("m")
    api = serve(adapters=("json",), adapter_wait_s=0.05)
    answer = api.post("/find", json=JSON)
    assert (answer.status_code, answer.text) == (504, "wrong: wait_over")
    worker.finish_all()
    assert api.get(f"/jobs/{answer.headers[JOB_HEADER]}").json()["status"] == "succeeded"


def test_a_failed_picture_is_an_error_of_its_code(api: httpx.Client, busy: BusyWorker) -> None:
    busy.answer = lambda held: bad(held.index)
    answer = api.post("/find", json=JSON)
    assert (answer.status_code, answer.text) == (422, "wrong: invalid_image")
    assert answer.headers[JOB_HEADER] == busy.seen[0].job.id


def test_the_key_may_be_in_the_clients_own_place(serve: Serve, store: JobStore, busy: BusyWorker) -> None:
    api, key = serve(auth="keys", adapters=("forms", "json")), new_key()
    store.run(
        add_key(KeyRecord(id=key_id(key) or "", owner="shop", scopes=("jobs:write",), digest=digest(key), created_ms=1))
    )
    sent: list[dict[str, Any]] = [
        {"json": JSON, "headers": {"authorization": f"Bearer {key}"}},
        {"json": JSON, "auth": ("", key)},
        {"json": JSON | {"key": key}},
        {"json": JSON, "headers": {"x-key": key}},
        {"json": JSON, "params": {"key": key}},
        {"files": {"image": b"picture"}, "data": {"key": key}},
    ]
    assert [api.post("/find", **one).status_code for one in sent] == [200] * len(sent)
    assert {held.job.owner for held in busy.seen} == {"shop"}
    wrong: list[dict[str, Any]] = [
        {"json": JSON},
        {"json": JSON | {"key": 7}},
        {"json": JSON | {"key": "spt_no"}},
        {"json": JSON, "auth": ("", "no")},
        {"json": JSON, "headers": {"authorization": "Basic -"}},
        {"files": {"image": b"picture"}},
    ]
    for one in wrong:
        answer = api.post("/find", **one)
        assert (answer.status_code, answer.text) == (401, "wrong: unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_both_are_in_the_document(api: httpx.Client) -> None:
    operation = api.get("/openapi.json").json()["paths"]["/find"]["post"]
    assert set(operation["requestBody"]["content"]) == {*FORMS, "application/json"}
    assert set(operation["responses"]["422"]["content"]) == {"text/plain"}


def test_half_a_character_is_no_base64() -> None:
    """JSON may have one: `"\\ud800"`."""
    with pytest.raises(InvalidRequest):
        from_base64("\ud800", "x", 200)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 90))
def test_base64_may_have_lines(data: bytes, width: int) -> None:
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[k : k + width] for k in range(0, len(text), width))
    assert from_base64(lines, "x", 200) == from_base64(f"data:image/png;base64,{text}", "x", 200) == data
    with pytest.raises(InvalidRequest):
        from_base64(text, "x", len(data) - 3)

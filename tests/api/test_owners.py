"""Nobody sees another's jobs: every route with the id of somebody else's job answers as if there were no such job."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from api.main import create_app
from api.scopes import PUBLIC, SCOPE_OF
from shared.ids import job_id, upload_id
from shared.keys import SCOPES, KeyRecord, Scope, add_key, digest, key_id, new_key
from shared.settings import Settings
from shared.store import JobStore
from tests.api.conftest import Serve

URL = {"image": {"url": "https://example.com/dog.jpg"}}
ROUTES: dict[tuple[str, str], Any] = {
    (method, route.path or ""): route
    for route in iter_route_contexts(create_app(Settings(auth="keys")).routes)
    for method in route.methods or ()
}
OF_ADAPTERS = [
    route
    for route in iter_route_contexts(create_app(Settings(auth="keys", adapters=("all",))).routes)
    if any((method, route.path) not in ROUTES for method in route.methods or ())
]
OF_A_JOB = {
    ("GET", "/jobs/{job}"): "/jobs/{job}",
    ("GET", "/jobs/{job}/results"): "/jobs/{job}/results",
    ("GET", "/jobs/{job}/export"): "/jobs/{job}/export?format=coco",
    ("GET", "/jobs/{job}/events"): "/jobs/{job}/events",
    ("GET", "/jobs/{job}/pictures/{index}"): "/jobs/{job}/pictures/0",
    ("POST", "/jobs/{job}/cancel"): "/jobs/{job}/cancel",
    ("GET", "/jobs/{job}/deliveries"): "/jobs/{job}/deliveries",
    ("POST", "/jobs/{job}/retry"): "/jobs/{job}/retry",
    ("DELETE", "/jobs/{job}"): "/jobs/{job}",
}
"""Routes that name a job, and a request of each."""
OF_THE_CALLER = {("POST", "/jobs"), ("PUT", "/jobs/{job}"), ("GET", "/jobs")}
"""Routes that make or list the caller's own jobs; tests below."""
OF_THE_CALLERS_WEBHOOKS = {
    ("POST", "/jobs/{job}/deliveries/{delivery}/redeliver"),
    ("GET", "/deliveries"),
    ("POST", "/deliveries/recover"),
    ("POST", "/webhooks/test"),
    ("GET", "/webhooks/secret"),
    ("POST", "/webhooks/secret/rotate"),
}
"""Routes of an owner's webhooks; tests/api/test_webhooks.py shows that they see no other's."""
OF_THE_CALLERS_UPLOADS = {("POST", "/uploads"), ("GET", "/uploads/{upload}"), ("DELETE", "/uploads/{upload}")}
"""Routes of uploads that an owner keeps; tests/api/test_uploads.py shows that nobody reaches another's."""
OF_THE_ADMIN = {("GET", "/admin/dead"), ("POST", "/admin/dead/{job}/{index}/replay")}
"""Routes that see every owner's jobs; tests below."""
OF_THE_SERVICE = {
    ("GET", "/models"),
    ("GET", "/models/{name}"),
    ("GET", "/models/{name}/aliases/{alias}"),
    ("PUT", "/models/{name}/aliases/{alias}"),
    ("DELETE", "/models/{name}/aliases/{alias}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/page/{part}"),
    ("HEAD", "/page/{part}"),
}
"""Routes that show no job."""


def make_key(store: JobStore, owner: str, *scopes: Scope, **more: Any) -> str:
    key = new_key()
    record = KeyRecord(
        id=key_id(key) or "", owner=owner, scopes=scopes or ("jobs:read", "jobs:write"), digest=digest(key),
        created_ms=1, **more,
    )  # fmt: skip
    assert store.run(add_key(record))
    return key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """An API that asks for keys."""
    return serve(auth="keys")


@pytest.fixture
def theirs(store: JobStore) -> dict[str, str]:
    return bearer(make_key(store, "theirs", *SCOPES))


@pytest.fixture
def mine(store: JobStore) -> dict[str, str]:
    return bearer(make_key(store, "mine", *SCOPES))


def test_every_route_has_a_row_here() -> None:
    assert set(ROUTES) == {
        *OF_A_JOB, *OF_THE_CALLER, *OF_THE_CALLERS_UPLOADS, *OF_THE_CALLERS_WEBHOOKS, *OF_THE_ADMIN, *OF_THE_SERVICE,
    }  # fmt: skip


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
def test_every_route_says_what_it_asks_of_its_caller(method: str, path: str) -> None:
    asked = [one.call for one in ROUTES[method, path].dependant.dependencies if one.call in SCOPE_OF]
    assert bool(asked) != (path in PUBLIC)


@pytest.mark.parametrize("route", OF_ADAPTERS, ids=lambda route: f"{route.path} {min(route.methods)}")
def test_every_route_of_an_adapter_says_it_too(route: Any) -> None:
    asked = [SCOPE_OF[one.call] for one in route.dependant.dependencies if one.call in SCOPE_OF]
    assert bool(asked) != (route.path in PUBLIC)
    assert "admin" not in asked


@pytest.mark.parametrize(("method", "path"), sorted(OF_A_JOB))
@pytest.mark.parametrize("ended", [False, True])
def test_anothers_job_is_not_there(
    api: httpx.Client, worker: Any, theirs: dict[str, str], mine: dict[str, str], method: str, path: str, ended: bool
) -> None:
    made = api.post("/jobs", content=b"bytes", headers={**theirs, "content-type": "image/jpeg"})
    job = made.json()["id"]
    if ended:
        worker.finish_all()
    there = api.request(method, OF_A_JOB[method, path].format(job=job), headers=mine)
    absent = api.request(method, OF_A_JOB[method, path].format(job=job_id()), headers=mine)
    assert (there.status_code, there.json()["code"]) == (404, "job_not_found")
    told = [{**answer.json(), "request_id": "", "instance": "", "detail": ""} for answer in (there, absent)]
    assert told[0] == told[1], "the answers do not tell whether somebody else has such a job"
    with api.stream(method, OF_A_JOB[method, path].format(job=job), headers=theirs) as answer:  # events have no end yet
        assert answer.status_code != 404
    assert api.get(f"/jobs/{job}", headers=theirs).json().get("status") != ("canceled" if ended else "")


def test_lists_hold_the_callers_own_jobs(api: httpx.Client, theirs: dict[str, str], mine: dict[str, str]) -> None:
    sent = {
        who: {api.post("/jobs", json=URL, headers=headers).json()["id"] for _ in range(3)}
        for who, headers in (("theirs", theirs), ("mine", mine))
    }
    for who, headers in (("theirs", theirs), ("mine", mine)):
        assert {job["id"] for job in api.get("/jobs", headers=headers).json()["jobs"]} == sent[who]
    other = min(sent["theirs"])
    page = api.get("/jobs", params={"after": f"9999999999999.{other}"}, headers=mine).json()
    assert {job["id"] for job in page["jobs"]} == sent["mine"]


def test_anothers_upload_cannot_be_named(api: httpx.Client, theirs: dict[str, str], mine: dict[str, str]) -> None:
    kept = api.post("/uploads", content=b"bytes", headers={**theirs, "content-type": "image/jpeg"}).json()["id"]
    job = {"image": {"upload": kept}}
    answer = api.post("/jobs", json=job, headers=mine)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image.upload")
    assert api.post("/jobs", json=job, headers=theirs).status_code == 202


def test_an_upload_that_came_with_a_job_cannot_be_named(api: httpx.Client, theirs: dict[str, str]) -> None:
    answer = api.post("/jobs", json={"image": {"upload": upload_id("theirs")}}, headers=theirs)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image.upload")


def test_jobs_without_a_key_belong_to_one_owner(serve: Serve, store: JobStore) -> None:
    closed, opened = serve(auth="keys"), serve(auth="off")
    job = opened.post("/jobs", json=URL).json()["id"]
    assert opened.get(f"/jobs/{job}").status_code == 200
    assert closed.get(f"/jobs/{job}", headers=bearer(make_key(store, "shop"))).status_code == 404
    assert closed.get(f"/jobs/{job}", headers=bearer(make_key(store, "default"))).status_code == 200


@pytest.mark.parametrize(("method", "path"), sorted(OF_THE_ADMIN))
def test_what_sees_every_owners_jobs_needs_the_scope_admin(
    api: httpx.Client, store: JobStore, theirs: dict[str, str], method: str, path: str
) -> None:
    path = path.format(job="job_x", index=0)
    answer = api.request(method, path, headers=bearer(make_key(store, "shop")))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.request(method, path).status_code == 401
    assert api.request(method, path, headers=theirs).status_code in (200, 404)

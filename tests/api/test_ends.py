"""How a job begins again and is gone, over HTTP: PUT, retry, delete. The laws: tests/shared/test_state_machine.py."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import redis

from shared.lifecycle import keep_drawn
from shared.outbox import due_hooks
from shared.queue import DELIVER_QUEUE, create_celery, depth
from shared.schema import PictureFailure, PictureResult
from shared.steps import crashed, finish
from shared.store import PREFIX, JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key
from tests.shared.store_samples import BY, bad, good, text
from tests.waiting import until

URL = {"image": {"url": "https://example.com/dog.jpg"}}
BULK = {"images": [{"url": f"https://example.com/{k}.jpg", "id": f"mine-{k}"} for k in range(4)]}
HOOK = {"webhook": {"url": "https://example.com/hook", "events": ["job.succeeded", "job.failed", "job.canceled"]}}
SECRET = "whsec_" + "A" * 32


@pytest.fixture(autouse=True)
def _served(worker: Any) -> None:
    worker.announce()


# -- PUT ---------------------------------------------------------------------------------------------------------------


def test_a_put_creates_once(api: httpx.Client, worker: Any) -> None:
    first = api.put("/jobs/job_mine", json=URL)
    assert (first.status_code, first.json()["id"], first.headers["location"]) == (201, "job_mine", "/jobs/job_mine")
    assert "idempotent-replayed" not in first.headers
    again = api.put("/jobs/job_mine", json=URL)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json() == first.json()
    assert worker.finish_all() == 1, "one job, however often it was sent"
    later = api.put("/jobs/job_mine", json=URL, headers={"Prefer": "wait=5"})
    assert (later.status_code, later.json()["status"]) == (200, "succeeded")


def test_a_put_of_another_body_or_another_owners_id_is_refused_alike(serve: Serve, store: JobStore) -> None:
    api = serve(auth="keys")
    theirs, mine = (bearer(make_key(store, owner)) for owner in ("theirs", "mine"))
    assert api.put("/jobs/job_a", json=URL, headers=theirs).status_code == 201
    assert api.put("/jobs/job_b", json=URL, headers=mine).status_code == 201
    assert api.post("/jobs", json=URL, headers=mine).json()["id"] != "job_b"
    answers = [api.put("/jobs/job_a", json=URL, headers=mine), api.put("/jobs/job_b", json=BULK, headers=mine)]
    assert [answer.status_code for answer in answers] == [409, 409]
    told = [{k: v.replace("job_b", "job_a") if isinstance(v, str) else v for k, v in a.json().items()} for a in answers]
    assert {**told[0], "request_id": ""} == {**told[1], "request_id": ""}
    assert told[0]["code"] == "job_id_taken"
    assert api.get("/jobs/job_a", headers=theirs).json()["counts"]["total"] == 1
    generated = api.post("/jobs", json=URL, headers=mine).json()["id"]
    assert api.put(f"/jobs/{generated}", json=URL, headers=mine).status_code == 409


@pytest.mark.parametrize("name", ["mine", "job_", "job_" + "x" * 65, "job_caf%C3%A9", "job_a%20b"])
def test_an_id_has_one_form(api: httpx.Client, name: str) -> None:
    answer = api.put(f"/jobs/{name}", json=URL)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "path.job")


def test_a_worker_of_an_earlier_job_of_the_id_writes_nothing(
    api: httpx.Client, worker: Any, store: JobStore, client: redis.Redis
) -> None:
    body = {**URL, "options": {"draw": True}}
    api.put("/jobs/job_mine", json=body)
    (old,) = worker.take()
    assert api.delete("/jobs/job_mine").status_code == 204
    assert api.put("/jobs/job_mine", json=body).status_code == 201
    (new,) = worker.take()
    assert (old.attempts, new.attempts) == (1, 1)
    assert new.fence > old.fence
    assert not store.run(keep_drawn(old, b"old"))
    assert store.run(finish(old, bad(), BY)) is None
    assert api.get("/jobs/job_mine").json()["status"] == "running"
    assert store.run(keep_drawn(new, b"new"))
    worker.finish(new)
    assert api.get("/jobs/job_mine/pictures/0", params={"draw": True}).content == b"new"
    client.delete(f"{PREFIX}job:job_mine")  # as if its retention were over
    api.put("/jobs/job_mine", json=body)
    assert api.get("/jobs/job_mine/pictures/0", params={"draw": True}).status_code == 404
    assert [job["id"] for job in api.get("/jobs").json()["jobs"]] == ["job_mine"]
    assert client.zscore(f"{PREFIX}expiry", "default/job_mine") is None, "the next sweep would take it off the list"


# -- retry -------------------------------------------------------------------------------------------------------------


def test_a_retry_is_the_same_job_and_keeps_what_succeeded(api: httpx.Client, worker: Any, store: JobStore) -> None:
    sent = api.post("/jobs", json=BULK)
    job = sent.json()["id"]
    assert api.post(f"/jobs/{job}/retry").json()["code"] == "job_not_finished"
    worker.finish(worker.take()[0])
    worker.finish(worker.take()[0], bad(1))
    (poison,) = worker.take()
    assert store.run(crashed(poison, "a reason.", 1)) == "running"
    (held,) = worker.take()
    assert api.post(f"/jobs/{job}/cancel").status_code == 200
    before = api.get(f"/jobs/{job}").json()
    assert [one["status"] for one in before["results"]] == ["succeeded", "failed", "failed", "canceled"]
    assert before["links"]["retry"] == f"/jobs/{job}/retry"
    assert before["links"]["export"] == f"/jobs/{job}/export?format={{format}}"
    assert len(api.get("/admin/dead").json()["dead"]) == 1

    answer = api.post(f"/jobs/{job}/retry")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/jobs/{job}")
    now = answer.json()
    assert (now["id"], now["status"], now["queue_position"], now["attempts"]) == (job, "queued", 1, 0)
    assert now["links"].keys() == {"self", "events", "results", "cancel"}
    assert now["counts"] == {
        "total": 4,
        "queued": 3,
        "running": 0,
        "succeeded": 1,
        "failed": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert now["results"][0] == before["results"][0]
    assert (now["finished_at"], now["expires_at"], now["started_at"]) == (None, None, None)
    assert now["queued_at"] >= before["finished_at"]
    assert now["deadline_at"] > before["deadline_at"]
    assert now["created_at"] == before["created_at"]
    assert api.get("/admin/dead").json()["dead"] == []
    assert api.post(f"/jobs/{job}/retry").json()["code"] == "job_not_finished"

    claims = [worker.take()[0] for _ in range(3)]
    assert [(one.index, one.attempts) for one in claims] == [(1, 1), (2, 1), (3, 1)]
    assert claims[1].fence > poison.fence
    assert claims[2].fence > held.fence
    assert store.run(finish(held, good(3), BY)) is None, "what a worker held before is stale"
    for one in claims:
        worker.finish(one)
    ended = api.get(f"/jobs/{job}").json()
    assert (ended["status"], ended["counts"]["succeeded"]) == ("succeeded", 4)
    nothing = api.post(f"/jobs/{job}/retry")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_retry")
    assert "retry" not in ended["links"]


def test_the_status_of_a_picture_is_not_taken_from_its_name(api: httpx.Client, worker: Any) -> None:
    name = '"status":"succeeded"'
    job = api.post("/jobs", json={"image": {**URL["image"], "id": name}}).json()["id"]
    failure = PictureFailure(code="invalid_image", title=name, detail=name)
    worker.finish(worker.take()[0], PictureResult(index=0, id=name, status="failed", attempts=1, error=failure))
    assert api.post(f"/jobs/{job}/retry").status_code == 202


def test_each_end_is_told_under_an_id_of_its_own(serve: Serve, worker: Any, store: JobStore) -> None:
    api = serve(webhook_secret=SECRET)
    job = api.post("/jobs", json={**URL, **HOOK}).json()["id"]
    for _ in range(3):
        worker.finish(worker.take()[0], bad())
        assert api.post(f"/jobs/{job}/retry").status_code == 202
    worker.finish_all()
    told = [one.name for one in store.run(due_hooks(10, 30))]
    failed = f"{job}.job.failed"
    assert sorted(told) == sorted([failed, f"{failed}.2", f"{failed}.3", f"{job}.job.succeeded.4"])


def test_a_retry_needs_the_uploads(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    sent = api.post("/jobs", files=[("file", (f"{k}.jpg", b"bytes")) for k in range(3)])
    job = sent.json()["id"]
    worker.finish(worker.take()[0])
    for index in (1, 2):
        worker.finish(worker.take()[0], bad(index))
    upload = text(client.hget(f"{PREFIX}job:{job}", "p2")).split('"')[3]
    blob = f"{PREFIX}blob:{upload}"
    kept = client.getdel(blob)
    mine = f"{PREFIX}*"  # not the broker's: tokens of the job's beginning are published by a thread
    before = {key: client.dump(key) for key in client.scan_iter(mine)}
    answer = api.post(f"/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "uploads_gone")
    assert {key: client.dump(key) for key in client.scan_iter(mine)} == before, "all or nothing"
    client.set(blob, kept or b"", ex=5)
    assert api.post(f"/jobs/{job}/retry").status_code == 202
    assert client.ttl(blob) > 100_000, "it lives as long as the job needs it"
    assert worker.finish_all() == 2


def test_a_retry_has_the_bounds_of_a_new_job(serve: Serve, store: JobStore) -> None:
    api = serve(auth="keys", queue_limit=2, owner_open_jobs=2)
    api.headers.update(bearer(make_key(store, "shop")))
    job = api.post("/jobs", json=URL).json()["id"]
    api.post(f"/jobs/{job}/cancel")
    others = [api.post("/jobs", json=URL).json()["id"] for _ in range(2)]
    answer = api.post(f"/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert "retry-after" in answer.headers
    for other in others:
        api.post(f"/jobs/{other}/cancel")
    assert api.post("/jobs", json={"images": BULK["images"][:2]}).status_code == 202
    assert api.post(f"/jobs/{job}/retry").json()["code"] == "queue_full"
    assert api.get(f"/jobs/{job}").json()["status"] == "canceled"


# -- delete ------------------------------------------------------------------------------------------------------------


def test_a_deleted_job_leaves_no_key(serve: Serve, worker: Any, store: JobStore, client: redis.Redis) -> None:
    api = serve(webhook_secret=SECRET)
    fields = {"options": '{"draw": true}', "webhook": '{"url": "https://example.com/hook"}'}
    files = [("file", (f"{k}.jpg", b"bytes")) for k in range(3)]
    job = api.post("/jobs", data=fields, files=files, headers={"Idempotency-Key": "mine"}).json()["id"]
    (held,) = worker.take()
    worker.draw(held, b"jpeg")
    worker.finish(held)
    (running,) = worker.take()
    uploads = [text(client.hget(f"{PREFIX}job:{job}", f"p{k}")).split('"')[3] for k in range(3)]
    answer = api.delete(f"/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    for key in client.scan_iter():
        assert not [name for name in (job, *uploads) if name in text(key)]
    assert not store.run(keep_drawn(running, b"late"))
    assert store.run(finish(running, good(1), BY)) is None
    assert api.get(f"/jobs/{job}").json()["code"] == "job_not_found"
    assert api.delete(f"/jobs/{job}").status_code == 404
    assert api.get("/jobs").json()["jobs"] == []
    assert client.hmget(f"{PREFIX}owner:default", "open", "waiting") == [b"0", b"0"]
    again = api.post("/jobs", json=URL, headers={"Idempotency-Key": "mine"})
    assert (again.status_code, "idempotent-replayed" in again.headers) == (202, False)


def test_a_deleted_job_answers_no_other(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    kind = {"content-type": "image/jpeg"}
    job = api.post("/jobs", content=b"bytes", headers=kind).json()["id"]
    worker.finish_all()
    (note,) = client.scan_iter(PREFIX + "note:*")
    assert api.delete(f"/jobs/{job}").status_code == 204
    assert not client.exists(note)
    assert api.post("/jobs", content=b"bytes", headers=kind).json()["status"] == "queued"


def test_a_webhook_that_waits_is_dropped_with_its_job(serve: Serve, worker: Any, store: JobStore) -> None:
    api = serve(webhook_secret=SECRET)
    job = api.post("/jobs", json={**URL, **HOOK}).json()["id"]
    worker.finish(worker.take()[0], bad())
    api.post(f"/jobs/{job}/retry")
    assert api.delete(f"/jobs/{job}").status_code == 204
    assert store.run(due_hooks(10, 30)) == []


# -- lists -------------------------------------------------------------------------------------------------------------


def test_lists_are_filtered_by_metadata(api: httpx.Client) -> None:
    def sent(**metadata: str) -> str:
        return str(api.post("/jobs", json={**URL, "metadata": metadata}).json()["id"])

    one, two, other = sent(camera="7", side="left"), sent(camera="7", side="right"), sent(camera="8")
    dotted = sent(**{"a.b": "=&", "camera": ""})

    def found(query: dict[str, str]) -> list[str]:
        return [job["id"] for job in api.get("/jobs", params=query).json()["jobs"]]

    assert found({"metadata.camera": "7"}) == [two, one]
    assert found({"metadata.camera": "7", "metadata.side": "left"}) == [one]
    assert found({"metadata.camera": "8", "status": "queued"}) == [other]
    assert found({"metadata.camera": "8", "status": "failed"}) == []
    assert found({"metadata.a.b": "=&"}) == [dotted]
    assert found({"metadata.camera": ""}) == [dotted]
    page = api.get("/jobs", params={"metadata.camera": "7", "limit": 1})
    assert [job["id"] for job in api.get(page.links["next"]["url"]).json()["jobs"]] == [one]


@pytest.mark.parametrize(
    "query", ["metadata.=x", "metadata.a=1&metadata.a=2", "&".join(f"metadata.k{k}=" for k in range(17))]
)
def test_a_filter_that_is_none_is_refused(api: httpx.Client, query: str) -> None:
    assert api.get(f"/jobs?{query}").status_code == 422


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_the_webhook_of_a_cancel_does_not_wait_for_a_sweep(serve: Serve, redis_url: str) -> None:
    api, broker = serve(webhook_secret=SECRET), create_celery(redis_url)
    silent, told = (api.post("/jobs", json=URL | more).json()["id"] for more in ({}, HOOK))
    api.post(f"/jobs/{silent}/cancel")
    api.post(f"/jobs/{told}/cancel")
    until(lambda: depth(broker, DELIVER_QUEUE) == 1)
    broker.close()

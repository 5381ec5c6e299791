"""The dead-letter list over HTTP."""

from __future__ import annotations

import httpx
import redis

from shared.steps import crashed
from shared.store import PREFIX, JobStore
from tests.api.conftest import Serve, Worker
from tests.shared.store_samples import text


def given_up(api: httpx.Client, worker: Worker, store: JobStore, image: dict[str, str]) -> str:
    """A job whose picture ended its decoder at every attempt."""
    worker.announce()
    answer = api.post("/jobs", json={"image": image, "metadata": {"camera": "7"}})
    (held,) = worker.take()
    assert store.run(crashed(held, "its decoder was ended by SIGSEGV.", 1)) == "failed"
    return str(answer.json()["id"])


def test_the_list_is_paged_newest_first(api: httpx.Client, worker: Worker, store: JobStore) -> None:
    assert api.get("/admin/dead").json() == {"dead": [], "next": None}
    jobs = [given_up(api, worker, store, {"url": "https://example.com/a.jpg?token=hunter2"}) for _ in range(5)]
    found, url = [], "/admin/dead?limit=2"
    while url:
        answer = api.get(url)
        assert answer.status_code == 200
        assert "hunter2" not in answer.text
        found += answer.json()["dead"]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
        assert (answer.json()["next"] is None) == (url == "")
    assert sorted(entry["job"] for entry in found) == sorted(jobs)
    assert found[0]["reason"] == "Given up after 1 attempts; the last: its decoder was ended by SIGSEGV."
    assert set(found[0]) == {"job", "index", "id", "source", "model", "attempts", "reason", "died_at"}


def test_a_bad_cursor_is_refused(api: httpx.Client) -> None:
    assert api.get("/admin/dead?after=x").status_code == 422
    assert api.get("/admin/dead?limit=0").status_code == 422


def test_a_replay_is_a_new_job_that_can_succeed(
    api: httpx.Client, worker: Worker, store: JobStore, client: redis.Redis
) -> None:
    job = given_up(api, worker, store, {"url": "https://example.com/a.jpg"})
    answer = api.post(f"/admin/dead/{job}/0/replay")
    assert answer.status_code == 202
    new = answer.json()
    assert answer.headers["location"] == f"/jobs/{new['id']}"
    assert (new["status"], new["metadata"]) == ("queued", {"camera": "7"})
    assert api.get("/admin/dead").json()["dead"] == []
    assert worker.finish_all() == 1
    assert api.get(f"/jobs/{new['id']}").json()["status"] == "succeeded"
    assert api.get(f"/jobs/{job}").json()["status"] == "failed"
    assert client.hget(PREFIX + "stats", "accepted:m") == b"2"
    gone = api.post(f"/admin/dead/{job}/0/replay")
    assert (gone.status_code, gone.json()["code"]) == (404, "dead_letter_not_found")


def test_a_replay_needs_the_upload(api: httpx.Client, worker: Worker, store: JobStore, client: redis.Redis) -> None:
    kept, lost = (given_up(api, worker, store, {"base64": "aGVsbG8="}) for _ in range(2))
    upload = client.hget(PREFIX + "job:" + lost, "p0")
    assert upload is not None
    client.delete(PREFIX + "blob:" + text(upload).split('"')[3])
    assert api.post(f"/admin/dead/{kept}/0/replay").status_code == 202
    gone = api.post(f"/admin/dead/{lost}/0/replay")
    assert (gone.status_code, gone.json()["code"]) == (404, "picture_not_stored")
    assert [entry["job"] for entry in api.get("/admin/dead").json()["dead"]] == [lost]


def test_a_full_queue_keeps_the_entry(serve: Serve, worker: Worker, store: JobStore) -> None:
    api = serve(queue_limit=1)
    job = given_up(api, worker, store, {"url": "https://example.com/a.jpg"})
    api.post("/jobs", json={"image": {"url": "https://example.com/b.jpg"}})
    answer = api.post(f"/admin/dead/{job}/0/replay")
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert len(api.get("/admin/dead").json()["dead"]) == 1

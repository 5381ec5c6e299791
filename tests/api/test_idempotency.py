"""`Idempotency-Key`: one key makes one job, for one owner, whatever is repeated, spelled otherwise or sent at once."""

from __future__ import annotations

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from shared.errors import IdempotencyMismatch
from shared.steps import KEYS_KEPT_S, Idempotent
from shared.store import PREFIX, JobStore
from tests.shared.store_samples import accepting, spec
from tests.waiting import until

URL = {"image": {"url": "https://example.com/dog.jpg"}}
KEY = {"Idempotency-Key": "mine-1"}


@pytest.fixture(autouse=True)
def _served(worker: Any) -> None:
    worker.announce()


def listed(api: httpx.Client) -> list[str]:
    return [job["id"] for job in api.get("/jobs").json()["jobs"]]


def test_the_same_request_again_is_the_same_job(api: httpx.Client, client: redis.Redis) -> None:
    first = api.post("/jobs", json=URL, headers=KEY)
    again = api.post("/jobs", json=URL, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert listed(api) == [first.json()["id"]]
    (kept,) = client.keys(PREFIX + "idem:*")
    assert KEYS_KEPT_S - 60 < client.ttl(kept) <= KEYS_KEPT_S
    other = api.post("/jobs", json=URL, headers={"Idempotency-Key": "mine-2"})
    assert other.json()["id"] != first.json()["id"]
    assert api.post("/jobs", json=URL).json()["id"] not in (first.json()["id"], other.json()["id"])


def test_another_body_under_the_key_is_refused(api: httpx.Client) -> None:
    api.post("/jobs", json=URL, headers=KEY)
    for body in ({"image": {"url": "https://example.com/cat.jpg"}}, URL | {"priority": "high"},
                 {"images": [URL["image"]]}, {"image": URL["image"] | {"id": "x"}}):  # fmt: skip
        answer = api.post("/jobs", json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert len(listed(api)) == 1


def test_spelling_and_boundaries_do_not_matter(api: httpx.Client) -> None:
    first = api.post("/jobs", content=json.dumps(URL, indent=4), headers=KEY | {"content-type": "application/json"})
    assert api.post("/jobs", json=URL, headers=KEY).json()["id"] == first.json()["id"]
    form = {"Idempotency-Key": "form"}
    jobs = {api.post("/jobs", files={"file": ("a.jpg", b"bytes")}, headers=form).json()["id"] for _ in range(2)}
    assert len(jobs) == 1, "httpx chooses a new boundary each time"
    other = api.post("/jobs", files={"file": ("a.jpg", b"other")}, headers=form)
    assert other.json()["code"] == "idempotency_mismatch"
    inline = {"image": {"base64": base64.b64encode(b"bytes").decode()}}
    answers = [api.post("/jobs", json=inline, headers={"Idempotency-Key": "inline"}) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]


def test_a_refused_request_leaves_the_key_free(api: httpx.Client) -> None:
    wrong = api.post("/jobs", json={"image": {"url": "x"}}, headers=KEY)
    assert wrong.status_code == 422
    assert api.post("/jobs", json=URL, headers=KEY).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
def test_a_key_that_is_none_is_refused(api: httpx.Client, key: str) -> None:
    answer = api.post("/jobs", json=URL, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_many_at_once_make_one_job(api: httpx.Client) -> None:
    def post(_: int) -> httpx.Response:
        return api.post("/jobs", json=URL, headers=KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(40)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert len(listed(api)) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers if a.status_code == 202) == 1


def test_while_the_first_is_being_read_the_second_is_told_so(api: httpx.Client) -> None:
    host, port = api.base_url.host, api.base_url.port
    assert port is not None
    body = json.dumps(URL).encode()
    head = f"POST /jobs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nIdempotency-Key: mine-1\r\n"
    with socket.create_connection((host, port)) as first:
        first.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        codes: list[int] = []

        def told() -> bool:
            answer = api.post("/jobs", json=URL | {"priority": "low"}, headers=KEY)
            codes.append(answer.status_code)
            return answer.status_code == 409 and answer.json()["code"] == "idempotency_in_flight"

        until(told)
        assert codes[-1] == 409
        first.sendall(body[5:])
        first.settimeout(10)
        # Whichever came first has the key; it is the only one.
        assert first.recv(100).split(b" ")[1] in (b"202", b"422")
    assert len(listed(api)) == 1


def test_a_replay_waits_for_the_end_too(api: httpx.Client, worker: Any) -> None:
    first = api.post("/jobs", json=URL, headers=KEY).json()["id"]
    worker.finish_all()
    answer = api.post("/jobs", json=URL, headers=KEY | {"Prefer": "wait=10"})
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, first, "succeeded")
    start = time.monotonic()
    assert api.post("/jobs", json=URL, headers={"Idempotency-Key": "z", "Prefer": "wait=0"}).status_code == 202
    assert time.monotonic() - start < 5


def test_owners_do_not_share_keys(store: JobStore) -> None:
    key = Idempotent("k", "f" * 32)
    mine, theirs = spec(owner="ann"), spec(owner="bob")
    assert store.run(accepting(mine, idempotent=key)).earlier is None
    assert store.run(accepting(theirs, idempotent=key)).earlier is None
    assert store.run(accepting(spec(owner="ann"), idempotent=key)).earlier == mine.id
    assert store.run(accepting(spec(owner="bob"), idempotent=key)).earlier == theirs.id
    with pytest.raises(IdempotencyMismatch):
        store.run(accepting(spec(owner="bob"), idempotent=Idempotent("k", "0" * 32)))

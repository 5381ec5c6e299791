"""Keys at the door: who is let in, for what, for how long, and what it costs. Limits of owners."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
import redis

from api.keys import TRUSTED_S, Door
from api.scopes import PUBLIC
from shared.errors import StartupError
from shared.keys import UNLIMITED, OwnLimits, Scope, key_id, new_key, revoke_key
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import ROUTES, bearer, make_key

URL = {"image": {"url": "https://example.com/dog.jpg"}}


def wrong(key: str) -> str:
    """The key with another secret, and a check that fits: only the store can tell."""
    other = new_key()
    return other.replace(key_id(other) or "", key_id(key) or "")


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(auth="keys")


def test_without_a_valid_key_every_answer_is_the_same(api: httpx.Client, store: JobStore) -> None:
    key = make_key(store, "shop")
    expired = make_key(store, "late", expires_ms=1000)
    tried = ["", "Bearer", f"Bearer {key[:-1]}", f"Bearer {new_key()}", f"Bearer {expired}", f"Basic {key}",
             f"Bearer {wrong(key)}", "Bearer spt_" + "\u00fc" * 60]  # fmt: skip
    seen = set()
    for authorization in tried:
        answer = api.get("/jobs", headers=[(b"Authorization", authorization.encode("latin-1"))])
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="spotter"')
        assert answer.headers["content-type"] == "application/problem+json"
        seen.add(re.sub(r"req_\w+", "", answer.text))
    assert len(seen) == 1
    assert 'error="invalid_token"' not in api.get("/jobs").headers["www-authenticate"]
    assert api.get("/jobs", headers=bearer(key)).status_code == 200


def test_no_route_but_the_public_ones_answers_without_a_key(api: httpx.Client) -> None:
    for method, path in ROUTES:
        answer = api.request(method, re.sub(r"\{\w+\}", "1", path))
        assert (answer.status_code == 401) != (path in PUBLIC), path


@pytest.mark.parametrize(
    ("scope", "method", "path", "allowed"),
    [
        ("jobs:read", "GET", "/jobs", True),
        ("jobs:read", "POST", "/jobs", False),
        ("jobs:read", "POST", "/jobs/job_1/cancel", False),
        ("jobs:write", "POST", "/jobs", True),
        ("jobs:write", "GET", "/jobs", False),
        ("jobs:write", "GET", "/metrics", False),
        ("metrics", "GET", "/metrics", True),
        ("metrics", "GET", "/jobs", False),
        ("jobs:read", "GET", "/docs", True),
        ("metrics", "GET", "/docs", False),
        ("metrics", "GET", "/openapi.json", False),
        ("admin", "GET", "/metrics", True),
        ("admin", "POST", "/jobs", True),
    ],
)
def test_a_key_does_what_its_scopes_say(
    api: httpx.Client, store: JobStore, scope: Scope, method: str, path: str, allowed: bool
) -> None:
    answer = api.request(method, path, headers=bearer(make_key(store, "shop", scope)), json=URL)
    if allowed:
        assert answer.status_code in (200, 202)
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_two_keys_overlap_and_a_revoked_one_is_refused_within_five_seconds(api: httpx.Client, store: JobStore) -> None:
    old, new = make_key(store, "shop"), make_key(store, "shop")
    with pytest.raises(AssertionError):
        make_key(store, "shop")
    job = api.post("/jobs", json=URL, headers=bearer(old)).json()["id"]
    assert api.get(f"/jobs/{job}", headers=bearer(new)).status_code == 200
    assert TRUSTED_S < 5
    assert store.run(revoke_key(key_id(old) or ""))
    revoked = time.monotonic()
    while api.get("/jobs", headers=bearer(old)).status_code == 200:
        assert time.monotonic() - revoked < 5
        time.sleep(0.05)
    assert api.get(f"/jobs/{job}", headers=bearer(new)).status_code == 200


def test_a_known_key_asks_nothing_more_of_the_store(api: httpx.Client, store: JobStore, client: redis.Redis) -> None:
    headers = bearer(make_key(store, "shop"))
    api.post("/jobs", json=URL, headers=headers)
    client.config_resetstat()
    for _ in range(5):
        assert api.post("/jobs", json=URL, headers=headers).status_code == 202
    stats: Any = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 10, "an accept and a look for each job, as without keys"


def test_an_owner_who_is_too_fast_is_told_when_to_go_on(serve: Serve, store: JobStore) -> None:
    api = serve(auth="keys", owner_rate=0.5, owner_burst=3)
    headers = bearer(make_key(store, "shop"))
    answers = [api.post("/jobs", json=URL, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"jobs";r=2;t=2', '"jobs";r=1;t=4', '"jobs";r=0;t=6', '"jobs";r=0;t=2',
    ]  # fmt: skip
    assert answers[0].headers["ratelimit-policy"] == '"jobs";q=3;w=6'
    assert answers[3].headers["retry-after"] == "2"
    assert (answers[3].json()["code"], answers[3].json()["retry_after"]) == ("rate_limited", 2)
    others = bearer(make_key(store, "other", limits=OwnLimits(rate=1000.0, burst=50)))
    answer = api.post("/jobs", json=URL, headers=others)
    assert (answer.status_code, answer.headers["ratelimit-policy"]) == (202, '"jobs";q=50;w=1')


def test_quotas_are_per_owner_and_come_back(serve: Serve, store: JobStore, worker: Any) -> None:
    api = serve(auth="keys", owner_open_jobs=2, owner_waiting=5)
    shop, other = bearer(make_key(store, "shop")), bearer(make_key(store, "other"))
    many = {"images": [URL["image"]] * 6}
    answer = api.post("/jobs", json=many, headers=shop)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    jobs = [api.post("/jobs", json=URL, headers=shop).json()["id"] for _ in range(2)]
    answer = api.post("/jobs", json=URL, headers=shop)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert api.post("/jobs", json=URL, headers=other).status_code == 202
    api.post(f"/jobs/{jobs[0]}/cancel", headers=shop)
    assert api.post("/jobs", json=URL, headers=shop).status_code == 202
    worker.finish_all()
    assert api.post("/jobs", json=URL, headers=shop).status_code == 202


def test_without_keys_only_this_machine_is_served(serve: Serve) -> None:
    door = Door(asks_for_keys=False, open_to_all=False, limits=UNLIMITED)
    for address in ("127.0.0.1", "::1", "localhost"):
        door.check(address)
    for address in ("0.0.0.0", "::", "192.168.1.5", "example.com"):
        with pytest.raises(StartupError, match="SPOTTER_AUTH=keys"):
            door.check(address)
        Door(asks_for_keys=True, open_to_all=False, limits=UNLIMITED).check(address)
        Door(asks_for_keys=False, open_to_all=True, limits=UNLIMITED).check(address)


def test_answers_tell_browsers_to_be_careful(api: httpx.Client, store: JobStore) -> None:
    for answer in (api.get("/healthz"), api.get("/jobs"), api.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers
    shown = api.get("/docs", headers=bearer(make_key(store, "shop")))
    assert "cdn.jsdelivr.net" in shown.headers["content-security-policy"]

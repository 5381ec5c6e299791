"""Aliases over HTTP: what may be set, who follows, and what a client is told meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from shared import assignments as assigning
from shared.assignments import assign, assignments
from shared.reports import Refusal
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.api.following import following
from tests.api.test_owners import bearer, make_key

PATH = "/models/m/aliases/stable"


def put(api: httpx.Client, version: str, path: str = PATH, **headers: str) -> httpx.Response:
    return api.put(path, json={"version": version}, headers=headers)


def test_an_alias_is_set_and_followed(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        answer = put(api, "2", Prefer="wait=10")
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=10")
        shown = answer.json()
        assert shown == {
            "model": "m", "alias": "stable", "version": "2", "set_at": shown["set_at"], "set_by": "default",
            "followed": ["w1"], "behind": [],
        }  # fmt: skip
        assert api.get(PATH).json() == shown
        again = put(api, "2")
        assert (again.status_code, again.json()) == (200, shown), "the same once more is harmless"
        made = api.post("/jobs", json={"image": {"url": "https://example.com/a.jpg"}, "model": "m@stable"}).json()
        assert made["model"]["version"] == "2", "whoever was told 200 gets that version"
        back = put(api, "1", Prefer="wait=10")
        assert (back.status_code, back.json()["version"]) == (200, "1")


def test_the_default_is_such_an_alias(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        assert put(api, "1", "/models/m/aliases/default", Prefer="wait=10").status_code == 200
        shown = api.get("/models/m").json()
        assert (shown["version"], shown["assigned"]) == ("1", {"default": "1"})
        gone = api.delete("/models/m/aliases/default", headers={"Prefer": "wait=10"})
        assert (gone.status_code, gone.json()["version"], gone.json()["set_at"]) == (200, "2", None)


def test_what_is_dropped_means_again_what_the_repositories_say(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store):
        for path in (PATH, "/models/m/aliases/new"):
            assert put(api, "2", path, Prefer="wait=10").status_code == 200
        for path, version in ((PATH, "1"), ("/models/m/aliases/new", None)):
            answer = api.delete(path, headers={"Prefer": "wait=10"})
            assert (answer.status_code, answer.json()["version"], answer.json()["behind"]) == (200, version, [])
            refused = api.delete(path)
            assert (refused.status_code, refused.json()["code"]) == (404, "alias_not_found")
        assert (api.get(PATH).json()["version"], api.get(PATH).json()["set_by"]) == ("1", None)
        missing = api.get("/models/m/aliases/new")
        assert (missing.status_code, missing.json()["code"]) == (404, "alias_not_found")


def test_only_a_version_that_a_live_worker_has_loaded(api: httpx.Client, worker: Any, store: JobStore) -> None:
    worker.announce("m", ("1", "2"), "2")
    worker.announce("n", ("3",), "3", worker="w2")
    refused = put(api, "3")
    assert (refused.status_code, refused.json()["code"]) == (409, "version_not_loaded")
    assert "there are: 1, 2." in refused.json()["detail"]
    assert "spotter models alias m candidate 3" in refused.json()["detail"]
    unknown = put(api, "1", "/models/other/aliases/stable")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")
    assert "m, n" in unknown.json()["detail"]
    assert store.run(assignments()).edition == 0, "what is refused leaves nothing"


def test_a_model_without_a_live_worker_moves_nothing(
    api: httpx.Client, worker: Any, store: JobStore, client: Any
) -> None:
    worker.announce("m", ("1",))
    client.delete("spotter:workers")
    refused = put(api, "1")
    assert (refused.status_code, refused.json()["code"]) == (409, "version_not_loaded")
    assert "there are: none." in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/M/aliases/stable", {"version": "1"}),
        ("/models/m/aliases/Stable", {"version": "1"}),
        ("/models/m/aliases/1", {"version": "1"}),
        ("/models/m/aliases/..%2fx", {"version": "1"}),
        (f"/models/m/aliases/{'a' * 64}", {"version": "1"}),
        (PATH, {"version": "../1"}),
        (PATH, {"version": "stable"}),
        (PATH, {"version": 1}),
        (PATH, {"version": "1", "force": True}),
        (PATH, {}),
    ],
)
def test_what_is_no_name_or_version_is_refused(
    api: httpx.Client, worker: Any, store: JobStore, path: str, body: dict[str, Any]
) -> None:
    worker.announce("m", ("1",))
    answer = api.put(path, json=body)
    assert answer.status_code in (404, 422), "a slash makes another path"
    assert store.run(assignments()).edition == 0


def test_who_does_not_follow_is_named_with_the_reason(api: httpx.Client, worker: Any, store: JobStore) -> None:
    edition = store.run(assign("m", "stable", "2", "default"))
    broken = Refusal(version="2", reason="its sha256 is another one", at_ms=0)
    worker.announce("m", ("1", "2"), "2", {"stable": "2"}, worker="w1", followed=edition)
    worker.announce("m", ("1",), "1", {"stable": "1"}, worker="w2", followed=edition)
    worker.announce("m", ("1",), "1", {}, (broken,), worker="w3", followed=edition)
    worker.announce("n", ("2",), "2", worker="w5")
    began = time.monotonic()
    answer = put(api, "2", Prefer="wait=10")
    assert time.monotonic() - began < 5, "all have looked, so there is nothing to wait for"
    assert (answer.status_code, "Retry-After" in answer.headers) == (202, False)
    assert answer.json()["followed"] == ["w1"]
    assert answer.json()["behind"] == [
        {"worker": "w2", "version": "1", "reason": "Its model repository has no version 2."},
        {"worker": "w3", "version": None, "reason": f"It could not load version 2: {broken.reason}"},
    ]
    worker.announce("m", ("1",), "1", {"stable": "1"}, worker="w4", followed=edition - 1)
    began = time.monotonic()
    answer = put(api, "2", Prefer="wait=1")
    assert 0.9 < time.monotonic() - began < 5, "one has not looked, and is waited for so long"
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    assert answer.json()["behind"][-1] == {"worker": "w4", "version": "1", "reason": "It has not looked yet."}
    assert api.get(PATH).json() == answer.json()


def test_without_prefer_nobody_is_waited_for(api: httpx.Client, worker: Any) -> None:
    worker.announce("m", ("1", "2"), "2", {"stable": "1"})
    began = time.monotonic()
    answer = put(api, "2")
    assert time.monotonic() - began < 1
    assert (answer.status_code, answer.json()["version"], answer.json()["followed"]) == (202, "2", [])
    assert "Preference-Applied" not in answer.headers


def test_of_two_requests_the_later_one_holds_and_the_earlier_is_told(
    api: httpx.Client, worker: Any, store: JobStore
) -> None:
    worker.announce("m", ("1", "2"), "2")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(put, api, "1", PATH, Prefer="wait=20")
        while store.run(assignments()).find("m", "stable") is None:
            time.sleep(0.01)
        second = put(api, "2")
        overtaken = first.result(timeout=10)
    assert second.status_code == 202
    assert (overtaken.status_code, overtaken.json()["code"]) == (409, "alias_changed")
    assert "m@stable is version 2 now" in overtaken.json()["detail"]
    assert store.run(assignments()).versions("m") == {"stable": "2"}


def test_many_at_once_end_in_one_state(api: httpx.Client, worker: Any, store: JobStore) -> None:
    with following(worker, store), following(worker, store, "w2"):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda k: put(api, str(1 + k % 2), Prefer="wait=20"), range(24)))
        assert {answer.status_code for answer in answers} <= {200, 409}
        shown = api.get(PATH).json()
        assert shown["version"] in {answer.json()["version"] for answer in answers if answer.status_code == 200}
        last = put(api, shown["version"], Prefer="wait=10")
        assert (last.status_code, sorted(last.json()["followed"])) == (200, ["w1", "w2"])


def test_there_is_a_bound(api: httpx.Client, worker: Any, store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "MOST_ASSIGNED", 1)
    worker.announce("m", ("1",))
    assert put(api, "1").status_code == 202
    refused = put(api, "1", "/models/m/aliases/another")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_aliases")


def test_it_needs_a_key_with_the_scope_for_models(serve: Serve, worker: Any, store: JobStore) -> None:
    worker.announce("m", ("1",))
    api = serve(auth="keys")
    jobs, models = make_key(store, "shop"), make_key(store, "ops", "models:write")
    for method, body in (("PUT", {"version": "1"}), ("GET", None), ("DELETE", None)):
        refused = api.request(method, PATH, json=body, headers=bearer(jobs))
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert api.request(method, PATH, json=body).status_code == 401
    answer = api.put(PATH, json={"version": "1"}, headers=bearer(models))
    assert (answer.status_code, answer.json()["set_by"]) == (202, "ops")
    assert "ops" not in str(api.get("/models/m", headers=bearer(jobs)).json()), "owners are told of none of the others"


def test_who_waits_is_let_go_when_the_client_leaves(api: httpx.Client, worker: Any) -> None:
    worker.announce("m", ("1", "2"), "2")
    with pytest.raises(httpx.ReadTimeout):
        api.put(PATH, json={"version": "1"}, headers={"Prefer": "wait=60"}, timeout=0.5)
    # The fixture's end would find a request that is still open: a process ends within its grace of two seconds.

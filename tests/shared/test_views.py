"""What can be seen of the store: pages, due webhooks, live workers, sources."""

from __future__ import annotations

import json

import redis

from shared.outbox import due_hooks, hooks_due, settle_hook
from shared.reports import Description, LoadedVersion, ServedModel, WorkerReport
from shared.schema import UrlSource, Webhook
from shared.steps import (
    announce,
    cancel,
    claim,
    finish,
    forget,
    withdraw,
)
from shared.store import PREFIX, JobStore
from shared.views import descriptions, fleet, open_jobs, page, source_of, stats, workers
from tests.shared.store_samples import BY, accepting, bad, good, seen, spec, swept, take


def served(name: str = "m", *versions: str) -> ServedModel:
    loaded = [LoadedVersion(version=v, provider="cpu", precision="fp32", max_batch=8) for v in versions or ("1",)]
    return ServedModel(name=name, default=loaded[-1].version, loaded=tuple(loaded))


def reported(worker: str, *models: ServedModel) -> WorkerReport:
    return WorkerReport(worker=worker, host="h", pid=1, started_ms=1, progress_ms=1, busy=0, models=models)


def described(name: str, version: str) -> Description:
    return Description(
        name=name, version=version, sha256=version * 64, family="darknet", labels=("dog",), frame=(416, 416)
    )


def test_pages_are_newest_first_even_within_one_millisecond(store: JobStore, client: redis.Redis) -> None:
    jobs = [spec() for _ in range(7)]
    for job in jobs:
        store.run(accepting(job))
    for k, job in enumerate(jobs):
        client.zadd(PREFIX + "jobs:default", {job.id: 1000 + k // 3})
    expected = sorted(((1000 + k // 3, job.id) for k, job in enumerate(jobs)), reverse=True)
    walked: list[tuple[int, str]] = []
    before = None
    while rows := store.run(page(before=before, count=2)):
        walked += [(created, job) for job, created in rows]
        before = (rows[-1][1], rows[-1][0])
    assert walked == expected


def test_a_webhook_is_due_once_the_job_ends_and_comes_back_until_settled(store: JobStore, client: redis.Redis) -> None:
    hook = Webhook(url="https://example.com/hook", events=("job.succeeded",))
    told, untold = spec(webhook=hook), spec(webhook=hook)
    for job, outcome in ((told, good), (untold, bad)):
        store.run(accepting(job))
        (held,) = take(store)
        store.run(finish(held, outcome(), BY))
    (due,) = store.run(due_hooks(10, 60))
    assert (due.name, due.job, due.event, due.tries) == (f"{told.id}.job.succeeded", told.id, "job.succeeded", 0)
    assert store.run(due_hooks(10, 60)) == []  # leased
    store.run(settle_hook(due, log="{}", state="pending", next_try_s=0))
    assert store.run(hooks_due()) == 1
    (again,) = store.run(due_hooks(10, 60))
    assert again.tries == 1
    store.run(settle_hook(again, log="{}", state="delivered", next_try_s=None))
    assert client.zcard(PREFIX + "hooks") == 0
    assert store.run(stats())["webhooks:delivered"] == 1


def test_a_silent_worker_is_forgotten(store: JobStore, client: redis.Redis) -> None:
    report = reported("w1", served())
    store.run(announce(report))
    assert store.run(workers()) == [report]
    client.zadd(PREFIX + "workers", {"w1": 1})
    assert store.run(workers()) == []
    swept(store)
    assert client.hlen(PREFIX + "reports") == 0


def test_a_worker_of_a_later_release_is_understood(store: JobStore, client: redis.Redis) -> None:
    """It says more than this release knows, of itself and of each model and version: an upgrade is rolled out."""
    store.run(announce(reported("w1", served("m", "3"))))
    said = json.loads(client.hget(PREFIX + "reports", "w1") or b"")
    said["new"] = said["models"][0]["new"] = said["models"][0]["loaded"][0]["new"] = {"a": 1}
    client.hset(PREFIX + "reports", "w1", json.dumps(said))
    assert store.run(workers()) == [reported("w1", served("m", "3"))]


def test_sources_can_be_looked_up(store: JobStore) -> None:
    job = spec(2)
    store.run(accepting(job))
    assert store.run(source_of(job.id, 1)) == UrlSource(url="https://example.com/1.jpg", id="mine-1")
    assert store.run(source_of(job.id, 2)) is None


def test_the_store_says_which_descriptions_it_lacks(store: JobStore) -> None:
    report = reported("w1", served("m", "1", "2"), served("n", "7"))
    assert store.run(announce(report)) == ["m@1", "m@2", "n@7"]
    assert store.run(announce(report, [described("m", "2"), described("n", "7")])) == ["m@1"]
    assert store.run(announce(report, [described("m", "1")])) == []
    assert store.run(announce(report)) == []
    found = store.run(descriptions(["m@1", "m@3", "n@7"]))
    assert found == {"m@1": described("m", "1"), "n@7": described("n", "7")}
    store.run(forget(["m@1"], ["n"]))
    assert store.run(announce(report)) == ["m@1"]


def test_what_was_last_heard_of_a_model_outlives_its_workers(store: JobStore) -> None:
    store.run(announce(reported("w1", served("m", "1"))))
    store.run(announce(reported("w2", served("m", "1", "2"), served("n", "1"))))
    fresh = store.run(fleet())
    assert {report.worker for report in fresh.live} == {"w1", "w2"}
    for worker in ("w1", "w2"):
        store.run(withdraw(worker))
    assert store.run(fleet()).live == ()
    assert store.run(fleet()).heard == {"m": served("m", "1", "2"), "n": served("n", "1")}
    store.run(forget([], ["n"]))
    assert set(store.run(fleet()).heard) == {"m"}


def open_now(store: JobStore) -> dict[str, int]:
    counters = store.run(stats())
    return open_jobs(counters)


def test_open_jobs_are_those_accepted_and_not_ended(store: JobStore) -> None:
    jobs = [spec(model="m@2") for _ in range(4)] + [spec(model="m")]
    for job in jobs:
        store.run(accepting(job))
    assert open_now(store) == {"m@2": 4, "m": 1}
    store.run(cancel(jobs[0].id))
    store.run(cancel(jobs[4].id))
    (held,) = store.run(claim("m@2", 1, 30))
    assert open_now(store) == {"m@2": 3}
    store.run(finish(held, good(), BY))
    assert open_now(store) == {"m@2": 2}


def test_a_job_bound_to_a_version_says_so_before_it_is_answered(store: JobStore) -> None:
    job = spec(model="m@2")
    store.run(accepting(job))
    model = seen(store, job.id).view.model
    assert (model.name, model.version, model.sha256) == ("m", "2", None)

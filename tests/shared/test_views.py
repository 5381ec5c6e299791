"""What can be seen of the store: pages, due webhooks, live workers, sources."""

from __future__ import annotations

import redis

from shared.schema import UrlSource, Webhook
from shared.steps import (
    announce,
    due_hooks,
    finish,
    settle_hook,
)
from shared.store import PREFIX, JobStore
from shared.views import hooks_due, page, source_of, stats, workers
from tests.shared.store_samples import BY, accepting, bad, good, spec, swept, take


def test_pages_are_newest_first_even_within_one_millisecond(store: JobStore, client: redis.Redis) -> None:
    jobs = [spec() for _ in range(7)]
    for job in jobs:
        store.run(accepting(job))
    for k, job in enumerate(jobs):
        client.zadd(PREFIX + "jobs", {job.id: 1000 + k // 3})
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
    store.run(settle_hook(due.name, log="{}", state="pending", next_try_s=0))
    assert store.run(hooks_due()) == 1
    (again,) = store.run(due_hooks(10, 60))
    assert again.tries == 1
    store.run(settle_hook(due.name, log="{}", state="delivered", next_try_s=None))
    assert client.zcard(PREFIX + "hooks") == 0
    assert store.run(stats())["webhooks:delivered"] == 1


def test_a_silent_worker_is_forgotten(store: JobStore, client: redis.Redis) -> None:
    from shared.schema import ServedModel, WorkerReport

    served = ServedModel(
        name="m", version="1", sha256="0" * 64, labels=("dog",), frame=(416, 416), provider="cpu", precision="fp32",
        max_batch=8,
    )  # fmt: skip
    report = WorkerReport(worker="w1", host="h", pid=1, started_ms=1, progress_ms=1, busy=0, models=(served,))
    store.run(announce(report))
    assert store.run(workers()) == [report]
    client.zadd(PREFIX + "workers", {"w1": 1})
    assert store.run(workers()) == []
    swept(store)
    assert client.hlen(PREFIX + "reports") == 0


def test_sources_can_be_looked_up(store: JobStore) -> None:
    job = spec(2)
    store.run(accepting(job))
    assert store.run(source_of(job.id, 1)) == UrlSource(url="https://example.com/1.jpg", id="mine-1")
    assert store.run(source_of(job.id, 2)) is None

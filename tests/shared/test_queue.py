"""Tokens: published without waiting, counted at the broker, topped up by the sweeper."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from shared.queue import DELIVER_QUEUE, Waker, create_celery, depth, detect_queue
from shared.schema import Webhook
from shared.steps import MOST_TOKENS, cancel, claim
from shared.store import PREFIX, JobStore
from shared.sweeper import Sweeper
from spotter.address import free_port
from tests.shared.store_samples import accepting, spec
from tests.waiting import until


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = create_celery(redis_url)
    yield app
    app.close()


@pytest.fixture
def waker(app: Celery) -> Iterator[Waker]:
    waker = Waker(app)
    waker.start()
    yield waker
    waker.stop()


@pytest.fixture
def sweeper(store: JobStore, app: Celery, waker: Waker) -> Sweeper:
    return Sweeper(store, app, waker, holder="test", interval_s=0.05, lease_s=30, max_attempts=3)


def test_tokens_arrive_in_the_queue_of_their_model(app: Celery, waker: Waker) -> None:
    assert depth(app, detect_queue("m")) == 0
    waker.wake_detect("m", 3)
    waker.wake_detect("other", 1)
    waker.wake_deliver()
    until(lambda: depth(app, DELIVER_QUEUE) == 1)
    assert depth(app, detect_queue("m")) == 3
    assert depth(app, detect_queue("other")) == 1


def test_a_waker_without_a_broker_blocks_nobody(redis_url: str) -> None:
    app = create_celery(f"redis://127.0.0.1:{free_port()}/0")
    waker = Waker(app)
    waker.start()
    start = time.monotonic()
    for _ in range(20_000):
        waker.wake_deliver()
    assert time.monotonic() - start < 2
    assert waker._inbox.qsize() <= waker._CAPACITY
    start = time.monotonic()
    waker.stop()
    assert time.monotonic() - start < 5
    assert not waker._thread.is_alive()
    app.close()


def test_the_sweeper_brings_back_lost_tokens_and_no_more_than_that(
    store: JobStore, app: Celery, sweeper: Sweeper, client: redis.Redis
) -> None:
    for _ in range(5):
        store.run(accepting(spec()))
    sweeper.sweep_once()  # what the accepts asked for was never published here
    until(lambda: depth(app, detect_queue("m")) == 5)
    sweeper.sweep_once()
    assert depth(app, detect_queue("m")) == 5  # enough is enough
    client.delete(detect_queue("m"))
    sweeper.sweep_once()
    until(lambda: depth(app, detect_queue("m")) == 5)
    store.run(accepting(spec(1000)))
    sweeper.sweep_once()
    until(lambda: depth(app, detect_queue("m")) == MOST_TOKENS)


def test_the_sweeper_runs_by_itself_and_takes_back_what_a_dead_worker_held(
    store: JobStore, app: Celery, sweeper: Sweeper
) -> None:
    store.run(accepting(spec()))
    (held,) = store.run(claim("m", 1, 0.05))
    sweeper.start()
    until(lambda: depth(app, detect_queue("m")) == 1)
    (again,) = store.run(claim("m", 1, 30))
    assert (again.index, again.fence) == (held.index, 2)
    sweeper.stop()


def test_due_webhooks_get_a_token(store: JobStore, app: Celery, sweeper: Sweeper) -> None:
    job = spec(webhook=Webhook(url="https://example.com/hook", events=("job.canceled",)))
    store.run(accepting(job))
    store.run(cancel(job.id))
    sweeper.sweep_once()
    until(lambda: depth(app, DELIVER_QUEUE) == 1)
    assert store.run(cancel(job.id)) == "canceled"
    assert PREFIX == "spotter:"

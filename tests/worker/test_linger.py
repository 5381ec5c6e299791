"""Waiting for the next picture: a real store, real threads."""

from __future__ import annotations

import threading
import time

import redis

from shared.store import PREFIX, JobStore
from tests.shared.store_samples import accepting, spec, take
from worker.linger import Lingering

LONG_S = 20.0


def await_waiting(client: redis.Redis) -> None:
    until = time.monotonic() + 5
    while not client.zcard(PREFIX + "lingering:m") and time.monotonic() < until:
        time.sleep(0.001)


def test_a_waiting_thread_is_woken_by_the_next_job(store: JobStore, client: redis.Redis) -> None:
    lingering, woken = Lingering(store, 2, LONG_S), list[bool]()
    thread = threading.Thread(target=lambda: woken.append(lingering.for_work("m")))
    thread.start()
    await_waiting(client)
    assert store.run(accepting(spec())).tokens == 0
    thread.join(5)
    assert woken == [True]
    assert len(take(store)) == 1


def test_nobody_waits_longer_than_asked(store: JobStore) -> None:
    start = time.monotonic()
    assert not Lingering(store, 2, 0.05).for_work("m")
    assert 0.04 <= time.monotonic() - start < 2


def test_one_thread_is_left_for_other_tokens(store: JobStore, client: redis.Redis) -> None:
    lingering = Lingering(store, 2, LONG_S)
    thread = threading.Thread(target=lingering.for_work, args=("m",))
    thread.start()
    start = time.monotonic()
    await_waiting(client)
    assert not lingering.for_work("m")
    assert time.monotonic() - start < LONG_S / 2, "it waited, and no thread was left"
    assert store.run(accepting(spec())).tokens == 0
    thread.join(5)
    assert not thread.is_alive()


def test_a_lone_thread_never_waits(store: JobStore) -> None:
    start = time.monotonic()
    assert not Lingering(store, 1, LONG_S).for_work("m")
    assert time.monotonic() - start < 2

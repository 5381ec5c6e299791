"""The store as a whole: full, gone, and swept by one process at a time."""

from __future__ import annotations

import socket

import pytest
import redis

from shared.connection import connect
from shared.errors import StoreFull, StoreUnavailable
from shared.steps import (
    lock_sweep,
)
from shared.store import JobStore
from shared.views import backlog
from tests.shared.store_samples import accepting, seen, spec


def test_the_sweep_lock_has_one_holder(store: JobStore) -> None:
    assert store.run(lock_sweep("a", 30))
    assert not store.run(lock_sweep("b", 30))


def test_a_store_out_of_memory_refuses_and_keeps_what_it_has(store: JobStore, client: redis.Redis) -> None:
    kept = spec()
    store.run(accepting(kept))
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            store.run(accepting(spec()))
        assert seen(store, kept.id).view.status == "queued"
    finally:
        client.config_set("maxmemory", 0)


def test_a_store_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with connect(f"redis://127.0.0.1:{port}/0", "test") as nobody, pytest.raises(StoreUnavailable) as refused:
            JobStore(nobody).run(backlog())
    assert refused.value.retry_after_s is not None

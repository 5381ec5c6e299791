"""A real API over a real store for the client's tests, with a worker that the test plays, or that answers by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from spotter import Spotter
from tests.api.conftest import api, serve, worker
from tests.api.formats.samples import DOG, picture

__all__ = ["api", "serve", "worker"]


@pytest.fixture
def service(api: httpx.Client) -> Iterator[Spotter]:
    """A client of that API."""
    with Spotter(str(api.base_url), timeout_s=10) as client:
        yield client


@pytest.fixture
def dogs(worker: Any) -> Iterator[None]:
    """A worker that finds the same dog in every picture, as soon as there is one."""
    worker.announce("m")
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            for held in worker.take(16):
                worker.finish(held, picture(DOG, index=held.index).model_copy(update={"id": held.source.id}))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join(timeout=10)
    assert not thread.is_alive()

"""A real API: uvicorn in a thread on a real socket, over a Valkey server. Tests play the worker on the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn

from api.main import serving
from shared.connection import connect
from shared.lifecycle import keep_drawn
from shared.reports import Description, LoadedVersion, Refusal, ServedModel, WorkerReport
from shared.schema import Claim, PictureResult
from shared.settings import Settings
from shared.steps import announce, claim, finish
from shared.store import JobStore
from spotter.address import free_port
from tests.roles import as_role
from tests.shared.store_samples import BY, good

Serve = Callable[..., httpx.Client]


@pytest.fixture
def serve(redis_url: str) -> Iterator[Serve]:
    """Start an API with the given settings; returns a client on it. All are stopped at the end."""
    running: list[tuple[uvicorn.Server, threading.Thread, httpx.Client]] = []

    def start(**changes: object) -> httpx.Client:
        fields: dict[str, object] = {"redis_url": as_role(redis_url, "api"), "default_model": "m"}
        fields |= {"sweep_s": 60.0, "auth": "off"}
        port = free_port()
        config = serving(Settings(**(fields | changes)), "127.0.0.1", port)  # type: ignore[arg-type]
        config.timeout_graceful_shutdown = 2
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        running.append((server, thread, client))
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the API did not start"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return client

    yield start
    for server, thread, client in running:
        client.close()
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive(), "the API did not stop"


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    """An API with default settings."""
    return serve()


class Worker:
    """Plays a worker on the store, without any model."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def announce(
        self,
        model: str = "m",
        versions: tuple[str, ...] = ("1",),
        default: str | None = "1",
        aliases: dict[str, str] | None = None,
        refused: tuple[Refusal, ...] = (),
        worker: str = "w1",
        followed: int = 0,
    ) -> None:
        loaded = tuple(LoadedVersion(version=v, provider="cpu", precision="fp32", max_batch=8) for v in versions)
        served = ServedModel(name=model, default=default, aliases=aliases or {}, loaded=loaded, refused=refused)
        stages = {"infer_ms": {"counts": [0] * 14 + [1], "sum_ms": 40_000.0}}
        report = WorkerReport(
            worker=worker,
            host="h",
            pid=1,
            started_ms=1,
            progress_ms=1,
            busy=2,
            models=(served,),
            stages=stages,
            followed=followed,
        )
        described = [
            Description(
                name=model, version=v, sha256=v[0] * 64, family="darknet", labels=("dog", "cat"), frame=(416, 416)
            )
            for v in versions
        ]
        self._store.run(announce(report, described))

    def take(self, most: int = 1, model: str = "m") -> list[Claim]:
        return self._store.run(claim(model, most, 30))

    def finish(self, held: Claim, result: PictureResult | None = None) -> None:
        assert self._store.run(finish(held, result or good(held.index), BY)) is not None

    def draw(self, held: Claim, data: bytes) -> None:
        assert self._store.run(keep_drawn(held, data))

    def finish_all(self) -> int:
        count = 0
        while claims := self.take(16):
            for held in claims:
                self.finish(held)
                count += 1
        return count


@pytest.fixture
def worker(redis_url: str) -> Iterator[Worker]:
    """A worker under the test's control."""
    with connect(as_role(redis_url, "worker"), "test") as client:
        yield Worker(JobStore(client))

"""Fixtures of all tests: one real Valkey server, emptied before each test that uses it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.connection import connect
from shared.store import JobStore
from spotter.address import free_port
from spotter.valkey import binary


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """No test sees the developer's SPOTTER_* variables, and none leaves its own behind."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("SPOTTER_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Valkey server without persistence."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("valkey")
    process = subprocess.Popen(
        [str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    client = redis.Redis.from_url(url)
    deadline = time.monotonic() + 10
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
    client.close()
    yield url
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture
def redis_url(valkey_server: str) -> str:
    """The server, empty."""
    client = redis.Redis.from_url(valkey_server)
    client.flushall()
    client.close()
    return valkey_server


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client on the empty server."""
    with connect(redis_url, "test") as client:
        yield client


@pytest.fixture
def store(client: redis.Redis) -> JobStore:
    """The store on the empty server."""
    return JobStore(client)

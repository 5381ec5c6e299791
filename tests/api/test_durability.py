"""What the store's server is set up to keep: shown and checked; and no job is taken in without room for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api.admission import RETRY_AFTER_S
from shared.connection import connect
from shared.durability import Durability, read, refuse_eviction
from shared.errors import StartupError
from shared.store import JobStore
from tests.api.conftest import Serve, Worker
from tests.servers import valkey
from tests.waiting import until

URL = {"image": {"url": "https://example.com/dog.jpg"}}


def served(serve: Serve, port: int) -> httpx.Client:
    """An API over the server at this port, with a worker announced."""
    api = serve(redis_url=f"redis://127.0.0.1:{port}/0")
    with connect(f"redis://127.0.0.1:{port}/0", "test") as client:
        Worker(JobStore(client)).announce()
    return api


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_ready_tells_how_durable_the_store_is(serve: Serve, tmp_path: Path, fsync: str) -> None:
    with valkey(tmp_path, "--appendonly", "yes", "--appendfsync", fsync) as (port, _):
        store = served(serve, port).get("/readyz").json()["store"]
        assert store == {"append_only_log": fsync, "when_full": "noeviction", "memory_used": 0}


def test_a_server_that_hides_its_configuration_leaves_one_thing_unknown(serve: Serve, tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--rename-command", "CONFIG", "")
    with valkey(tmp_path, *options) as (port, _):
        assert served(serve, port).get("/readyz").json()["store"]["append_only_log"] == "on, fsync unknown"


def test_no_job_is_taken_in_beyond_the_share(serve: Serve, tmp_path: Path) -> None:
    with valkey(tmp_path, "--maxmemory", "32mb") as (port, _), redis.Redis(port=port) as client:
        api = served(serve, port)
        assert api.post("/jobs", json=URL).status_code == 202
        for number in range(27):
            client.set(f"ballast-{number}", b"x" * (1 << 20))

        def refused() -> bool:
            return api.post("/jobs", json=URL).status_code == 503

        until(refused)
        answer = api.post("/jobs", json=URL)
        assert answer.json()["code"] == "store_full"
        assert answer.headers["retry-after"] == str(RETRY_AFTER_S)
        assert api.get("/jobs").status_code == 200, "looking is still allowed"
        client.delete(*(f"ballast-{number}" for number in range(27)))
        until(lambda: api.post("/jobs", json=URL).status_code == 202)


def test_a_server_that_drops_data_stops_the_start(tmp_path: Path) -> None:
    with valkey(tmp_path, "--maxmemory", "32mb", "--maxmemory-policy", "volatile-lru") as (port, _):
        with (
            connect(f"redis://127.0.0.1:{port}/0", "test") as client,
            pytest.raises(StartupError, match="volatile-lru"),
        ):
            refuse_eviction(client)
        command = [sys.executable, "-m", "api.main", "--port", "0"]
        env = {"SPOTTER_REDIS_URL": f"redis://127.0.0.1:{port}/0", "SPOTTER_AUTH": "off"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 78
        assert "maxmemory-policy noeviction" in done.stderr


def test_without_a_bound_or_a_server_the_start_goes_on(tmp_path: Path) -> None:
    with valkey(tmp_path, "--maxmemory-policy", "allkeys-lru") as (port, _), redis.Redis(port=port) as client:
        refuse_eviction(client)
    with connect(f"redis://127.0.0.1:{port}/0", "test") as client:
        refuse_eviction(client)


@pytest.mark.parametrize(
    ("info", "config", "found"),
    [
        ({}, {}, Durability(False, None, "unknown", 0, 0)),
        ({"aof_enabled": 1, "maxmemory": 100, "used_memory": 25, "maxmemory_policy": "allkeys-lru"},
         {"appendfsync": "no"}, Durability(True, "no", "allkeys-lru", 25, 100)),
        ({"aof_enabled": 0}, {"appendfsync": "always"}, Durability(False, None, "unknown", 0, 0)),
    ],
)  # fmt: skip
def test_what_is_read(info: dict[str, Any], config: dict[str, Any], found: Durability) -> None:
    assert read(info, config) == found
    assert found.evicts == (found.policy == "allkeys-lru")
    assert found.filled == found.used_bytes / max(1, found.most_bytes)

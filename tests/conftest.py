"""Fixtures of all tests: one real Valkey server with the users of a real one, emptied before each test that uses it.

The store of a test, and every process that a test starts, logs in as the role that it has in a real installation. Tests
themselves look into the server as `default`, whom only this server lets in.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from shared.connection import connect
from shared.store import JobStore
from spotter import acl
from spotter.address import free_port
from spotter.valkey import binary
from tests.roles import as_role

# `--hypothesis-profile=long`: random walks that go on for about ten minutes, for tests/shared/test_state_machine.py.
settings.register_profile(
    "long",
    max_examples=1500,
    stateful_step_count=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


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
    users = acl.server_form(acl.rules(), {role: role for role in acl.ROLES})
    nobody, tests = "user default off resetkeys resetchannels -@all\n", "user default on nopass ~* &* +@all\n"
    assert nobody in users
    (folder / "users.acl").write_text(users.replace(nobody, tests))
    process = subprocess.Popen(
        [
            str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
            "--aclfile", str(folder / "users.acl"),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
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
def redis_url(valkey_server: str) -> Iterator[str]:
    """The server, empty. What a role was refused fails the test, whatever became of the refusal."""
    client = redis.Redis.from_url(valkey_server)
    client.flushall()
    client.acl_log_reset()
    yield valkey_server
    refused = client.acl_log()
    client.close()
    assert refused == [], "valkey.acl does not let a role do what it has to"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client on the empty server."""
    with connect(redis_url, "test") as client:
        yield client


@pytest.fixture
def role() -> str:
    """Who the test's store logs in as; tests/worker has another."""
    return "api"


@pytest.fixture
def store(redis_url: str, role: str) -> Iterator[JobStore]:
    """The store on the empty server."""
    with connect(as_role(redis_url, role), "test") as client:
        yield JobStore(client)

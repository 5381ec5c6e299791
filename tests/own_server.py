"""A Valkey server for one test, which may break it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from spotter.address import free_port
from spotter.valkey import binary
from tests.waiting import until


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """URL of a server that keeps its files, if it writes any, in `folder`."""
    folder.mkdir()
    port = free_port()
    process = subprocess.Popen(
        [str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        with redis.Redis.from_url(url) as client:
            until(lambda: _answers(client))
        yield url
    finally:
        process.kill()  # one that cannot write its snapshot refuses to end in order
        process.wait(10)


def fill(client: redis.Redis, folder: Path) -> None:
    """OOM: no memory is left, as far as commands that need some can tell."""
    client.config_set("maxmemory", 1)


def fail_snapshots(client: redis.Redis, folder: Path) -> None:
    """MISCONF: the last snapshot could not be written, which Redis takes as a sign that the disk is full."""
    client.config_set("save", "3600 1000000")
    folder.rmdir()
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def become_replica(client: redis.Redis, folder: Path) -> None:
    """READONLY: a failover made somebody else the primary."""
    client.replicaof("127.0.0.1", 1)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False

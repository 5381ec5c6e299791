"""Stores and brokers of every kind that an address may name, as real servers: TLS, Sentinels, RabbitMQ."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from celery import Celery

from shared import sentinels
from shared.connection import connect, connect_async
from shared.errors import Overloaded, StartupError
from shared.queue import Waker, create_celery, depth, detect_queue
from shared.settings import Settings
from shared.steps import claim, finish
from shared.store import AsyncJobStore, JobStore
from shared.views import view
from tests.servers import RABBITMQ, rabbitmq, sentinel, tls, valkey
from tests.shared.store_samples import BY, accepting, good, seen, spec
from tests.waiting import until


def tokens_pass(url: str) -> None:
    """Tokens can be published at this broker, and counted there."""
    app = create_celery(url)
    waker = Waker(app)
    waker.start()
    waker.wake_detect("m", 2)
    until(lambda: depth(app, detect_queue("m")) == 2)
    waker.stop()
    app.close()


def test_store_and_broker_over_tls(tmp_path: Path) -> None:
    with valkey(tmp_path) as (port, _), tls(tmp_path, port) as (outside, certificate):
        url = f"rediss://127.0.0.1:{outside}/0?ssl_cert_reqs=required&ssl_ca_certs={quote(str(certificate))}"
        job = spec()
        with connect(url, "test") as client:
            JobStore(client).run(accepting(job))

        async def look() -> None:
            client = connect_async(url, "test")
            (found,) = await AsyncJobStore(client).run(view([job.id], inline_results=1))
            assert found is not None
            await client.aclose()

        asyncio.run(look())
        tokens_pass(url)
        with (
            connect(f"rediss://127.0.0.1:{outside}/0?ssl_cert_reqs=required", "test") as client,
            pytest.raises(Overloaded),
        ):
            JobStore(client).run(accepting(spec()))  # nobody vouches for the certificate


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, int, list[int]]]:
    """A master with a replica and a Sentinel: the address, the master's port, and pids to kill."""
    folders = [tmp_path / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        port, process = stack.enter_context(valkey(folders[0]))
        replica, _ = stack.enter_context(valkey(folders[1], "--replicaof", f"127.0.0.1 {port}"))
        with redis.Redis(port=replica) as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        watcher = stack.enter_context(sentinel(folders[2], port))
        with redis.Redis(port=watcher) as client:
            until(lambda: client.sentinel_slaves("mymaster") != [])
        yield f"sentinel://127.0.0.1:{watcher}/0?master=mymaster", port, [process.pid]


def test_sentinels_lead_to_the_master_and_after_a_failover_to_the_next(guarded: tuple[str, int, list[int]]) -> None:
    url, port, (pid,) = guarded
    job = spec()
    with connect(url, "test") as client:
        store = JobStore(client)
        store.run(accepting(job))
        client.wait(1, 2000)  # replication is asynchronous: what is not over there is lost with the master
        os.kill(pid, signal.SIGKILL)

        def works_again() -> bool:
            try:
                return seen(store, job.id).view.status == "queued"
            except Overloaded:
                return False

        until(works_again, 20)
        (held,) = store.run(claim("m", 1, 30))
        assert store.run(finish(held, good(), BY)) == "succeeded"
        assert client.info("server")["tcp_port"] != port
    tokens_pass(url)


def test_the_parts_of_an_address_with_sentinels() -> None:
    url = "sentinel://ann:p%40ss@one:1,two,[::1]:3/2?master=main&sentinel_password=x"
    read = sentinels.read(url)
    assert read.nodes == (("one", 1), ("two", 26379), ("::1", 3))
    assert (read.master, read.db) == ("main", 2)
    assert read.options == {"db": 2, "username": "ann", "password": "p@ss"}
    assert read.own_login == {"password": "x"}
    assert read.kombu_url() == (
        "sentinel://ann:p%40ss@one:1/2;sentinel://ann:p%40ss@two:26379/2;sentinel://ann:p%40ss@[::1]:3/2"
    )
    assert "p@ss" not in repr(read)


@pytest.mark.parametrize(
    "url",
    ["sentinel://one/0", "sentinel:///0?master=m", "sentinel://one/x?master=m", "sentinel://one/0?master=m&tls=1",
     "sentinel://one:port/0?master=m", "sentinel://one/0?master="],
)  # fmt: skip
def test_an_address_that_cannot_be_read_stops_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="sentinel://"):
        connect(url, "test")
    with pytest.raises(StartupError, match="sentinel://"):
        create_celery(url)


def test_the_broker_is_the_store_unless_it_has_an_address_of_its_own() -> None:
    assert Settings().broker == "redis://127.0.0.1:6379/0"
    assert Settings(broker_url="amqp://h").broker == "amqp://h"


@pytest.fixture(scope="module")
def amqp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A RabbitMQ of its own."""
    if not RABBITMQ.exists():
        pytest.skip("RabbitMQ is not installed (tests/install-debian.sh brings it)")
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


def test_tokens_lie_in_quorum_queues_of_rabbitmq(amqp: str) -> None:
    tokens_pass(amqp)
    app: Celery = create_celery(amqp)
    # Another kind of the same name is refused, so this one is what it was declared as.
    refusal = pytest.raises(app.connection_for_read().channel_errors, match=r"PRECONDITION_FAILED.*x-queue-type")
    with app.connection_for_read() as connection, refusal:
        connection.default_channel.queue_declare(queue=detect_queue("m"), durable=True, auto_delete=False)
    app.close()

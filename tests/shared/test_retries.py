"""Retries of the store's clients: connections that were reset are ridden out, silence ends within its bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
import redis
import uvloop

from bench.faults.network import Network
from shared import connection, retries
from shared.connection import connect, connect_async

MARGIN_S = 1.5
"""The machine is not alone; without the bound it would be 4 timeouts and more."""


@pytest.fixture
def network(redis_url: str) -> Iterator[Network]:
    """A proxy before the test's server."""
    with Network() as network:
        network.to(int(redis_url.rpartition(":")[2].partition("/")[0]))
        yield network


def through(network: Network) -> str:
    return f"redis://127.0.0.1:{network.port}/0"


def test_a_reset_connection_is_ridden_out(network: Network) -> None:
    with connect(through(network), "test") as client:
        assert client.ping()
        assert network.reset() == 1
        assert client.ping()


def test_a_reset_connection_is_ridden_out_on_uvloop(network: Network) -> None:
    async def ask() -> None:
        async with connect_async(through(network), "test") as client:
            for _ in range(3):
                assert await client.ping()
                await asyncio.to_thread(network.reset)
                await asyncio.sleep(0)  # the loop hears of it, nobody is reading
            assert await client.ping()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())


@pytest.fixture
def timeout_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """Of a socket, and the patience, both shorter than in service."""
    monkeypatch.setitem(connection._OPTIONS, "socket_timeout", 1.0)
    monkeypatch.setattr(retries, "PATIENCE_S", 1.2)
    return 1.0


def test_a_connection_that_stays_silent_is_replaced(network: Network, timeout_s: float) -> None:
    with connect(through(network), "test") as client:
        assert client.ping()
        network.stall()
        network.go_on(old_links=False)
        begun = time.monotonic()
        assert client.ping()
        assert time.monotonic() - begun < timeout_s + MARGIN_S


def test_a_server_that_stays_silent_is_given_up_in_time(network: Network, timeout_s: float) -> None:
    with connect(through(network), "test") as client:
        assert client.ping()
        network.stall()
        begun = time.monotonic()
        with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
            client.ping()
        assert time.monotonic() - begun < 2 * timeout_s + MARGIN_S


def test_a_server_that_stays_silent_is_given_up_in_time_by_asyncio(network: Network, timeout_s: float) -> None:
    async def ask() -> float:
        async with connect_async(through(network), "test") as client:
            assert await client.ping()
            await asyncio.to_thread(network.stall)
            begun = time.monotonic()
            with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
                await client.ping()
            return time.monotonic() - begun

    assert asyncio.run(ask()) < 2 * timeout_s + MARGIN_S

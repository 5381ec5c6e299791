"""The bench of addresses must be able to see a breach: with the guard as it is, and with its table taken away."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from ipaddress import ip_address

import pytest
from ssrfguard.resolvers import UdpResolver

from bench.faults.address_forms import FORBIDDEN, PUBLIC, carried, forbidden, samples, urls
from bench.faults.name_server import NameServer

WITHOUT_A_TABLE = """
import worker.addresses
from ssrfguard import AddressTable
worker.addresses.PUBLIC = AddressTable(())
from bench.faults.addresses import main
main()
"""


def ran(*command: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False)
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if document["held"] else 1), done.stderr
    return document


def test_no_forbidden_address_is_connected_to() -> None:
    found = ran("-m", "bench.faults.addresses", "--short", "--seed", "3")
    assert found["held"]


def test_a_guard_without_its_table_is_seen_to_connect() -> None:
    found = ran("-c", WITHOUT_A_TABLE, "--short", "--seed", "3")
    assert not found["held"]
    assert isinstance(found["measured"], dict)
    assert found["measured"]["connects to forbidden addresses"] > 100


def test_every_network_is_forbidden_and_no_public_one_is() -> None:
    dice = random.Random(1)
    assert all(forbidden(str(one)) for network in FORBIDDEN for one in samples(network, 3, dice))
    assert not any(forbidden(str(one)) for network in PUBLIC for one in samples(network, 3, dice))


@pytest.mark.parametrize(
    ("wrapped", "inside"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("::10.0.0.1", "10.0.0.1"), ("64:ff9b::a00:1", "10.0.0.1"),
     ("2002:a00:1::5", "10.0.0.1"), ("2001:0:a00:1::", "10.0.0.1"), ("2001:0:808:808::f5ff:fffe", "10.0.0.1")],
)  # fmt: skip
def test_what_an_address_carries(wrapped: str, inside: str) -> None:
    assert ip_address(inside) in carried(ip_address(wrapped))
    assert forbidden(wrapped)


def test_an_address_has_many_disguises() -> None:
    found = [url for _, url in urls(ip_address("10.0.0.1"), random.Random(1))]
    assert len(set(found)) == len(found) > 60


def test_the_name_server_changes_its_mind() -> None:
    with NameServer(lambda name, number: ["8.8.8.8", "2001:db8::1"] if number == 0 else ["127.0.0.1"]) as server:
        resolver = UdpResolver(nameservers=("127.0.0.1",), nameserver_port=server.port)
        found = [[answer[4][0] for answer in resolver("a.example", 80)] for _ in range(2)]
    assert [sorted(one) for one in found] == [["2001:db8::1", "8.8.8.8"], ["127.0.0.1"]]
    assert server.asked["a.example"] == 2

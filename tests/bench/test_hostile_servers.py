"""The bench of hostile servers: the client passes it in short form, and a client without a deadline would not."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_network

import pytest

from bench.faults.bad_servers import BadServer, behaviours, handshakes, says
from bench.faults.hostile_servers import attempt
from shared.errors import FetchFailed
from worker.egress import Egress

WITHOUT_A_DEADLINE = """
from bench.faults import bad_servers
from worker import exchange
bad_servers.PATIENCE_S = 1.6
exchange.Deadline.left = lambda deadline: 1.6
from bench.faults.hostile_servers import main
main()
"""


def ran(*command: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=100, check=False)
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if document["held"] else 1), done.stdout
    return document


def test_each_attempt_ends_in_time_and_in_a_coarse_error() -> None:
    assert ran("-m", "bench.faults.hostile_servers", "--short", "--deadline", "1")["held"]


def test_a_client_without_a_deadline_is_late() -> None:
    found = ran("-c", WITHOUT_A_DEADLINE, "--short", "--deadline", "0.2")
    assert not found["held"]
    assert isinstance(found["measured"], dict)
    assert found["measured"]["late"] > 5


def test_the_servers_are_many_and_named_apart() -> None:
    assert len(behaviours() | handshakes()) == len(behaviours()) + len(handshakes()) > 60


def test_an_attempt_tells_its_end() -> None:
    egress = Egress(timeout_s=5, redirects=0)
    assert (
        attempt("closed", "get", lambda: str(egress.get("http://127.0.0.1/", max_bytes=1))).code == "address_forbidden"
    )
    assert attempt("broken", "get", lambda: str(1 // 0)).code == "escaped"
    assert attempt("fine", "get", lambda: "200").code == "200"


def test_a_bad_server_says_what_it_is_told_to_say() -> None:
    egress = Egress(timeout_s=5, redirects=0, allow=[ip_network("127.0.0.0/8")])
    with BadServer(says(b"HTTP/1.1 200 OK\r\n\r\nabc")) as server:
        assert egress.get(f"http://127.0.0.1:{server.port}/", max_bytes=3) == b"abc"
    with BadServer(says(b"nonsense\r\n\r\n")) as server, pytest.raises(FetchFailed):
        egress.get(f"http://127.0.0.1:{server.port}/", max_bytes=3)
    assert server.accepted == 1

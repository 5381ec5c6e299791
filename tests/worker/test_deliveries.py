"""Webhooks from the outbox to a real receiver: signed, repeated until taken, and nobody waits for a slow endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from standardwebhooks import Webhook as Verifier

from shared.schema import JobSpec, Webhook
from shared.steps import claim, finish
from shared.store import PREFIX, JobStore
from shared.views import stats
from tests.shared.store_samples import BY, accepting, good, spec
from tests.waiting import until
from worker.deliveries import PER_ENDPOINT, Deliveries
from worker.egress import Egress

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """An endpoint that keeps what it gets and answers by path: /ok, /fail, /gone, /slow."""

    def __init__(self) -> None:
        self.got: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        self.inside = 0
        self.most_inside = 0
        self.release = threading.Event()
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    outer.got[self.path].append(({k.lower(): v for k, v in self.headers.items()}, body))
                    outer.inside += 1
                    outer.most_inside = max(outer.most_inside, outer.inside)
                if self.path == "/slow":
                    outer.release.wait(20)
                with lock:
                    outer.inside -= 1
                self.send_response({"/ok": 204, "/gone": 410, "/slow": 200}.get(self.path, 500))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


class NoTokens:
    """The test pokes by itself."""

    def wake_deliver(self) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.release.set()
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def deliveries(store: JobStore, receiver: Receiver) -> Iterator[Deliveries]:
    egress = Egress(timeout_s=5, redirects=0, allow=[ip_network("127.0.0.0/8")])
    made = Deliveries(
        store, egress, NoTokens(), secret=SECRET, timeout_s=5, retry_s=(5, 300), allow_http=True,  # type: ignore[arg-type]
        base_url="https://spotter.example",
    )  # fmt: skip
    yield made
    receiver.release.set()
    made.stop()


def ended(store: JobStore, url: str, **changes: Any) -> JobSpec:
    job = spec(webhook=Webhook(url=url), **changes)
    store.run(accepting(job))
    (held,) = store.run(claim("m", 1, 30))
    store.run(finish(held, good(), BY))
    return job


def test_a_delivery_is_signed_and_carries_the_job(store: JobStore, receiver: Receiver, deliveries: Deliveries) -> None:
    job = ended(store, receiver.url("/ok"), metadata={"camera": "7"})
    deliveries.poke()
    until(lambda: store.run(stats()).get("webhooks:delivered") == 1)
    ((headers, body),) = receiver.got["/ok"]
    Verifier(SECRET).verify(body, headers)
    assert headers["webhook-id"] == f"{job.id}.job.succeeded"
    told = json.loads(body)
    assert told["type"] == "job.succeeded"
    assert told["data"]["id"] == job.id
    assert told["data"]["metadata"] == {"camera": "7"}
    assert told["data"]["links"]["self"] == f"https://spotter.example/jobs/{job.id}"
    assert told["timestamp"] == told["data"]["finished_at"]
    deliveries.poke()
    assert len(receiver.got["/ok"]) == 1


def test_a_failure_is_tried_again_on_schedule_with_the_same_id(
    store: JobStore, receiver: Receiver, deliveries: Deliveries, client: redis.Redis
) -> None:
    job = ended(store, receiver.url("/fail"))
    name = f"{job.id}.job.succeeded"
    for attempt, (shortest, longest) in enumerate(((4.5, 5.5), (270, 330)), start=1):
        deliveries.poke()
        until(lambda attempt=attempt: client.hget(PREFIX + "hook:" + name, "tries") == str(attempt).encode())  # type: ignore[misc]
        due = client.zscore(PREFIX + "hooks", name)
        assert isinstance(due, float)
        assert shortest - 1 < due / 1000 - time.time() < longest + 1
        client.zadd(PREFIX + "hooks", {name: 1})
    ids = {headers["webhook-id"] for headers, _ in receiver.got["/fail"]}
    assert ids == {name}
    log = json.loads(client.hget(PREFIX + "hook:" + name, "log1") or b"")
    assert (log["attempt"], log["status"], log["error"]) == (1, 500, "http_error")


def test_gone_ends_it(store: JobStore, receiver: Receiver, deliveries: Deliveries, client: redis.Redis) -> None:
    ended(store, receiver.url("/gone"))
    deliveries.poke()
    until(lambda: store.run(stats()).get("webhooks:gone") == 1)
    assert client.zcard(PREFIX + "hooks") == 0


def test_a_slow_endpoint_delays_no_other(store: JobStore, receiver: Receiver, deliveries: Deliveries) -> None:
    for _ in range(20):
        ended(store, receiver.url("/slow"))
    other = Receiver()
    ended(store, other.url("/ok"))
    deliveries.poke()
    until(lambda: len(other.got["/ok"]) == 1)
    assert receiver.most_inside <= PER_ENDPOINT
    receiver.release.set()
    until(lambda: store.run(stats()).get("webhooks:delivered") == 21)
    other.server.shutdown()
    other.server.server_close()


def test_a_large_job_goes_out_without_its_results(store: JobStore, receiver: Receiver, deliveries: Deliveries) -> None:
    padding = {str(k): "x" * 512 for k in range(16)}
    job = spec(100, webhook=Webhook(url=receiver.url("/ok")), metadata=padding)
    store.run(accepting(job))
    while claims := store.run(claim("m", 16, 30)):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    deliveries.poke()
    until(lambda: len(receiver.got["/ok"]) == 1)
    told = json.loads(receiver.got["/ok"][0][1])
    assert told["data"]["results"] is None
    assert told["data"]["counts"]["succeeded"] == 100

"""The promise under fire: processes are killed in the middle of the work, and every accepted job ends well, once."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from bench.local import Stack
from tests.system.conftest import Start
from tests.system.watching import finished, parts

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

JOBS = 200


def pictures() -> Iterator[bytes]:
    rng = np.random.default_rng(5)
    while True:
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8)).save(out, "JPEG")
        yield out.getvalue()


def post_until_accepted(client: httpx.Client, picture: bytes) -> str:
    """A client as the README advises: 503 and a broken connection mean to try again."""
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        try:
            answer = client.post("/jobs", content=picture, headers={"content-type": "image/jpeg"})
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        time.sleep(0.1)


def kill(stack: Stack, word: str) -> None:
    deadline = time.monotonic() + 30
    while not (found := parts(stack, word)):
        assert time.monotonic() < deadline, f"no {word} to kill"
        time.sleep(0.05)
    os.kill(found[0], signal.SIGKILL)


def counted(client: httpx.Client, name: str) -> dict[str, float]:
    text = client.get("/metrics").text
    return {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_200_jobs_survive_two_killed_workers_and_a_killed_store(start: Start) -> None:
    stack = start(lease_s="2", sweep_s="0.5")
    client = httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=30)
    source = pictures()
    sent = [next(source) for _ in range(JOBS)]
    accepted: list[str] = []
    enough = {count: threading.Event() for count in (50, 100, 150)}

    def post(picture: bytes) -> None:
        accepted.append(post_until_accepted(client, picture))
        if event := enough.get(len(accepted)):
            event.set()

    with ThreadPoolExecutor(4) as pool:
        posting = [pool.submit(post, picture) for picture in sent]
        for count, word in ((50, "worker.main"), (100, "valkey-server"), (150, "worker.main")):
            assert enough[count].wait(60)
            kill(stack, word)
        for one in posting:
            one.result()

    assert len(set(accepted)) == JOBS
    ended = finished(client, accepted, 90)
    assert {job["status"] for job in ended.values()} == {"succeeded"}
    listed: list[str] = []
    url = "/jobs?limit=100"
    while url:
        answer = client.get(url)
        listed += [job["id"] for job in answer.json()["jobs"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    # A POST whose answer was lost with the connection may have been accepted too; nothing else may be there.
    assert set(accepted) <= set(listed)
    ended |= finished(client, sorted(set(listed) - set(accepted)), 60)
    assert counted(client, "spotter_jobs_ended_total") == {"succeeded": len(listed)}
    assert counted(client, "spotter_pictures_total") == {"succeeded": len(listed)}, "a result was committed twice"
    client.close()


def test_jobs_survive_a_restart_of_everything(start: Start) -> None:
    stack = start(concurrency="1")
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}") as client:
        source = pictures()
        jobs = [post_until_accepted(client, next(source)) for _ in range(20)]
    stack.__exit__(None, None, None)
    again = start()
    with httpx.Client(base_url=f"http://127.0.0.1:{again.port}") as client:
        ended = finished(client, jobs, 60)
    assert {job["status"] for job in ended.values()} == {"succeeded"}


def test_sigterm_drains_and_exits_0(start: Start) -> None:
    stack = start()
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}") as client:
        picture = next(pictures())
        job = client.post("/jobs", files=[("file", picture)] * 200).json()["id"]
    os.kill(stack.pid, signal.SIGTERM)
    stack.__exit__(None, None, None)
    assert stack.exit_code == 0
    again = start()
    with httpx.Client(base_url=f"http://127.0.0.1:{again.port}") as client:
        done = finished(client, [job], 60)[job]
    assert done["counts"] == {
        "total": 200, "queued": 0, "running": 0, "succeeded": 200, "failed": 0, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert done["attempts"] == 1, "a clean stop costs no attempt"

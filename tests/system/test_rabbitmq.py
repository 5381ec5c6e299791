"""RabbitMQ carries the tokens, Valkey the jobs: the service as a whole on two servers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from shared.store import JobStore
from tests.servers import RABBITMQ, rabbitmq
from tests.system.fleet import running
from tests.system.watching import finished

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

JOBS = 30


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    if not RABBITMQ.exists():
        pytest.skip("RabbitMQ is not installed (tests/install-debian.sh brings it)")
    folder = tmp_path / "rabbitmq"
    folder.mkdir()
    with rabbitmq(folder) as url:
        yield url


def test_jobs_pass_with_rabbitmq_as_broker(
    tmp_path: Path, redis_url: str, store: JobStore, models_dir: Path, broker: str
) -> None:
    settings = {"broker_url": broker, "models_dir": str(models_dir), "precision": "fp32", "sweep_s": "60"}
    with running(tmp_path, redis_url, store, 1, **settings) as service:
        jobs, picture = [], _png()
        for _ in range(JOBS):
            answer = service.client.post("/jobs", content=picture, headers={"content-type": "image/png"})
            assert answer.status_code == 202, answer.text
            jobs.append(answer.json()["id"])
        # No sweep comes to help within this time: the tokens passed through the broker.
        ended = finished(service.client, jobs, 30)
        assert {job["status"] for job in ended.values()} == {"succeeded"}
        assert "unrecoverable" not in service.log().lower()


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (48, 36)).save(out, "PNG")
    return out.getvalue()

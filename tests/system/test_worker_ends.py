"""How a worker process ends: in order at any moment, and by itself when it hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.crashing import HANG, install, marked
from shared.dead import dead_letters
from shared.schema import UploadSource
from shared.steps import accept
from shared.store import JobStore
from shared.views import workers
from tests.shared.store_samples import spec
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]


@pytest.fixture
def environment(redis_url: str, models_dir: Path) -> dict[str, str]:
    return os.environ | {
        "SPOTTER_REDIS_URL": redis_url,
        "SPOTTER_MODELS_DIR": str(models_dir),
        "SPOTTER_PRECISION": "fp32",
        "SPOTTER_LEASE_S": "1",
        "SPOTTER_SWEEP_S": "0.2",
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


def started(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "worker.main"], env=environment, stdout=output, stderr=output)


@pytest.fixture
def worker(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = started(environment, log)
    yield process
    process.kill()
    process.wait()


def test_sigterm_right_after_the_announcement_withdraws_it(
    worker: subprocess.Popen[bytes], store: JobStore, log: Path
) -> None:
    until(lambda: bool(store.run(workers())), 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, log.read_text()
    assert store.run(workers()) == []


def test_sigterm_while_the_model_loads_is_an_order_too(
    worker: subprocess.Popen[bytes], store: JobStore, log: Path
) -> None:
    # From here on the handler is there: the interpreter has it from the first line of `main`.
    until(lambda: "onnxruntime" in Path(f"/proc/{worker.pid}/maps").read_text(), 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) in (0, -signal.SIGTERM), log.read_text()
    assert store.run(workers()) == []


def test_a_picture_that_hangs_ends_the_worker_and_then_only_children(
    environment: dict[str, str], store: JobStore, log: Path, tmp_path: Path
) -> None:
    """The hang keeps the interpreter's lock, so that nothing in the worker can do anything about it."""
    install(tmp_path)
    environment |= {"PYTHONPATH": str(tmp_path), "SPOTTER_HANG_S": "1", "SPOTTER_DECODE_TIMEOUT_S": "1"}
    first = started(environment, log)
    upload = UploadSource(upload="upl_" + "0" * 20)
    job = spec(model="yolov3-tiny")
    store.run(accept(job, [upload], queue_limit=9, blobs={upload.upload: marked(HANG)}))
    assert first.wait(60) == 1, log.read_text()
    assert "Timeout" in log.read_text()
    second = started(environment, log)
    try:
        until(lambda: store.run(dead_letters(before=None, count=1)) != [], 60)
        ((_, letter),) = store.run(dead_letters(before=None, count=1))
        assert (letter.job, letter.attempts) == (job.id, 3)
        assert letter.reason == "Given up after 3 attempts; the last: decoding took longer than 1 s."
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0, log.read_text()
    finally:
        second.kill()
        second.wait()

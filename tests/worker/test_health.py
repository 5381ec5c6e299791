"""The worker's health check: fresh word, and progress while work waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.reports import LoadedVersion, ServedModel, WorkerReport
from shared.views import Backlog
from tests.roles import as_role
from worker.health import STUCK_S, why_unhealthy

NOW_S = 10_000.0


def report(progress_s: float, host: str = "here") -> WorkerReport:
    loaded = LoadedVersion(version="1", provider="cpu", precision="fp32", max_batch=1)
    served = ServedModel(name="m", default="1", loaded=(loaded,))
    return WorkerReport(
        worker="w", host=host, pid=1, started_ms=0, progress_ms=int(progress_s * 1000), busy=0, models=(served,)
    )


@pytest.mark.parametrize(
    ("progress_s", "oldest_s", "healthy"),
    [
        (NOW_S, 0, True),
        (NOW_S - STUCK_S - 1, 0, True),  # idle: nothing waits
        (NOW_S - 1, STUCK_S + 1, True),  # behind, but working
        (NOW_S - STUCK_S - 1, STUCK_S + 1, False),
    ],
)
def test_stuck_means_that_work_waits_and_nothing_is_finished(progress_s: float, oldest_s: float, healthy: bool) -> None:
    for reference in ("m", "m@1"):
        behind = {reference: Backlog(1, 1, oldest_s)} if oldest_s else {}
        reason = why_unhealthy([report(progress_s)], behind, "here", NOW_S)
        assert (reason is None) == healthy


def test_work_for_a_version_that_is_not_loaded_here_is_not_this_workers() -> None:
    behind = {"m@2": Backlog(1, 1, STUCK_S + 1), "n": Backlog(1, 1, STUCK_S + 1)}
    assert why_unhealthy([report(NOW_S - STUCK_S - 1)], behind, "here", NOW_S) is None


def test_another_hosts_worker_does_not_count() -> None:
    assert why_unhealthy([report(NOW_S, "there")], {}, "here", NOW_S) is not None


def test_the_command_says_why(redis_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker.health"],
        env={"SPOTTER_REDIS_URL": as_role(redis_url, "worker")},
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr == b"unhealthy: no worker of this host announces itself\n"

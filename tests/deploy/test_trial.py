"""The scripts around the trial: what they read of the API's metrics, when they start an engine, what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from api.metrics import exposition
from deploy.try_jobs import ENDED, TOOK
from shared.observe import Stages
from shared.reports import WorkerReport

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


def test_reads_who_took_how_many() -> None:
    reports = []
    for host, number in (("0123456789ab", 3), ("ba9876543210", 2)):
        stages = Stages()
        for _ in range(number):
            stages.observe(infer_ms=4.0, queue_ms=1.0)
        reports.append(
            WorkerReport(
                worker=f"{host}-7-7A8PR7", host=host, pid=7, started_ms=0, progress_ms=0, busy=0, models=(),
                stages=stages.snapshot(),
            )
        )  # fmt: skip
    text = exposition({"jobs:yolov3-tiny:succeeded": 5, "jobs:yolov3-tiny:failed": 1}, {}, reports).decode()
    assert sorted(TOOK.findall(text)) == [("0123456789ab-7-7A8PR7", "3.0"), ("ba9876543210-7-7A8PR7", "2.0")]
    assert sum(float(count) for count in ENDED.findall(text)) == 6


def test_images_know_the_version(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nname = "some-Thing"\nversion = "1.2.3"\n')
    subprocess.run([sys.executable, DEPLOY / "metadata.py", pyproject, tmp_path / "site"], check=True, timeout=30)
    (found,) = distributions(path=[str(tmp_path / "site")])
    assert (found.metadata["Name"], found.version) == ("some-Thing", "1.2.3")
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["some_thing-1.2.3.dist-info"]


class Machine:
    """A copy of `ci-compose.sh` among stand-ins: a `docker` that is up or down, a trial, and perhaps a rig."""

    def __init__(self, root: Path) -> None:
        self._root, self._programs = root, root / "bin"
        (root / "project/deploy").mkdir(parents=True)
        self._programs.mkdir()
        shutil.copy(DEPLOY / "ci-compose.sh", root / "project/deploy")
        for name in ("bash", "dirname", "timeout"):
            found = shutil.which(name)
            assert found
            (self._programs / name).symlink_to(found)

    def program(self, path: str, script: str) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        file.chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._root / "project/deploy/ci-compose.sh"],
            env={**os.environ, "PATH": str(self._programs)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.program("project/deploy/try-compose.sh", "echo tried; exit 3")
    return made


def test_says_so_where_there_is_no_engine(machine: Machine) -> None:
    done = machine.run()
    assert (done.returncode, done.stdout) == (0, "skipped: no container engine\n")


def test_uses_the_engine_that_runs(machine: Machine) -> None:
    machine.program("bin/docker", "exit 0")
    machine.program("shared/rig/containers.sh", "echo rig $1")
    done = machine.run()
    assert (done.returncode, done.stdout) == (3, "tried\n")


def test_starts_an_engine_and_stops_it_again(machine: Machine) -> None:
    machine.program("bin/docker", "exit 1")
    machine.program("shared/rig/containers.sh", "echo rig $1")
    done = machine.run()
    assert (done.returncode, done.stdout) == (3, "rig up\ntried\nrig down\n")


def test_an_engine_that_does_not_start_is_a_failure(machine: Machine) -> None:
    machine.program("bin/docker", "exit 1")
    machine.program("shared/rig/containers.sh", "echo rig $1; [ $1 != up ]")
    done = machine.run()
    assert (done.returncode, done.stdout) == (1, "rig up\nrig down\n")

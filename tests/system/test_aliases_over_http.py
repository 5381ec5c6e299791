"""Aliases move over HTTP under load: workers with a repository each follow, start late, die and lack versions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.connection import connect
from shared.store import JobStore
from shared.views import fleet
from tests.system.fleet import Running, running
from tests.system.telling import put
from tests.system.test_reload import NAME, PICTURE
from tests.system.watching import finished
from tests.waiting import until
from zoo.aliases import set_alias

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

HEADERS = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two, which say the same: versions 1 and 2, `stable` is 1. The second one cannot be written to."""
    folders = [tmp_path_factory.mktemp("models") for _ in range(2)]
    for folder in folders:
        put(folder, NAME, 1)
        put(folder, NAME, 2)
        set_alias(folder, NAME, "stable", "1")
    for path in (folders[1], *folders[1].rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folders


@pytest.fixture(scope="module")
def service(
    valkey_server: str, repositories: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    settings = {
        "default_model": NAME, "precision": "fp32", "infer_threads": "1", "reload_s": "0.1", "retire_s": "3",
        "sweep_s": "0.5", "lease_s": "2", "cache": "false", "log_level": "INFO",
    }  # fmt: skip
    with connect(valkey_server, "test") as client:
        client.flushall()
        folder = tmp_path_factory.mktemp("logs")
        with running(folder, valkey_server, JobStore(client), repositories, **settings) as service:
            yield service


def move(service: Running, alias: str, version: str | None, wait_s: int = 20) -> httpx.Response:
    """Set an alias, or drop it."""
    path, headers = f"/models/{NAME}/aliases/{alias}", {"Prefer": f"wait={wait_s}"}
    if version is None:
        return service.client.delete(path, headers=headers)
    return service.client.put(path, json={"version": version}, headers=headers)


def post(service: Running, asked: str) -> dict[str, Any]:
    answer = service.client.post("/jobs", params={"model": asked}, content=PICTURE, headers=HEADERS)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def answered_by(service: Running, *jobs: str) -> list[str]:
    """The version that each job's picture says; its label, which comes from the graph itself, says the same."""
    versions = []
    for body in finished(service.client, list(jobs), 30).values():
        assert body["status"] == "succeeded", body
        (result,) = body["results"]
        (found,) = result["detections"]
        assert found["label"] == f"v{result['version']}", result
        versions.append(result["version"])
    return versions


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of change of every file."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Load:
    """Posts jobs by the bare name and by the alias until the block ends."""

    def __init__(self, service: Running) -> None:
        self._service, self._over = service, threading.Event()
        self._thread = threading.Thread(target=self._post)
        self.jobs: dict[str, str | None] = {}
        self.error: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=30)

    def _post(self) -> None:
        try:
            for asked in cycle([NAME, f"{NAME}@stable", NAME]):
                if self._over.is_set():
                    return
                job = post(self._service, asked)
                self.jobs[job["id"]] = job["model"]["version"] if "@" in asked else None
        except BaseException as error:
            self.error = error
            raise


def test_aliases_move_under_load_and_no_job_fails(service: Running, repositories: list[Path]) -> None:
    before = [content(folder) for folder in repositories]
    assert move(service, "previous", "1").status_code == 200, "so it stays loaded"
    with Load(service) as load:
        for alias, version, means in (
            ("default", "1", "1"),
            ("stable", "2", "2"),
            ("default", "2", "2"),
            ("stable", "1", "1"),
            ("default", "1", "1"),
            ("stable", None, "1"),
            ("stable", "2", "2"),
            ("default", None, "2"),
        ):
            moved = move(service, alias, version)
            assert moved.status_code == 200, moved.text
            shown = moved.json()
            assert (shown["version"], len(shown["followed"]), shown["behind"]) == (means, 2, [])
            asked = NAME if alias == "default" else f"{NAME}@{alias}"
            own = [post(service, asked)["id"] for _ in range(4)]
            assert set(answered_by(service, *own)) == {means}, "who was told 200 gets that version, at any worker"
        for alias in ("stable", "previous"):
            assert move(service, alias, None).status_code == 200
    assert load.error is None
    assert len(load.jobs) > 20
    versions = dict(zip(load.jobs, answered_by(service, *load.jobs), strict=True))
    assert set(versions.values()) == {"1", "2"}
    assert all(bound in (None, versions[job]) for job, bound in load.jobs.items()), "a bound job keeps its version"
    assert [content(folder) for folder in repositories] == before, "nothing is written to a repository"


def test_a_version_that_one_worker_has_and_the_other_gets_later(service: Running, repositories: list[Path]) -> None:
    refused = move(service, "stable", "3")
    assert (refused.status_code, refused.json()["code"]) == (409, "version_not_loaded")
    assert move(service, "default", "2").status_code == 200
    repositories[1].joinpath(NAME).chmod(0o755)
    put(repositories[0], NAME, 3)
    until(lambda: service.client.get(f"/models/{NAME}@3").status_code == 200, 20)
    assert set(answered_by(service, *(post(service, NAME)["id"] for _ in range(4)))) == {"2"}, "it answers nobody yet"
    moved = move(service, "stable", "3")
    assert (moved.status_code, len(moved.json()["followed"])) == (202, 1)
    (behind,) = moved.json()["behind"]
    assert (behind["version"], behind["reason"]) == ("1", "Its model repository has no version 3.")
    put(repositories[1], NAME, 3)
    until(lambda: not service.client.get(f"/models/{NAME}/aliases/stable").json()["behind"], 20)
    assert answered_by(service, post(service, f"{NAME}@stable")["id"]) == ["3"]
    for alias in ("stable", "default"):
        assert move(service, alias, None).status_code == 200


def test_a_worker_that_died_and_one_that_starts_later(
    service: Running, repositories: list[Path], tmp_path: Path
) -> None:
    assert move(service, "default", "1").status_code == 200
    highest = service.client.get(f"/models/{NAME}").json()["versions"][-1]["version"]
    service.kill(1)
    moved = move(service, "stable", highest, wait_s=1)
    assert (moved.status_code, len(moved.json()["followed"])) == (202, 1)
    assert [one["reason"] for one in moved.json()["behind"]] == ["It has not looked yet."]
    assert answered_by(service, post(service, f"{NAME}@stable")["id"]) == [highest], "the living one serves"
    living = moved.json()["followed"]
    seen: set[tuple[str | None, str | None]] = set()

    def started() -> bool:
        for report in service.store.run(fleet()).live:
            if report.worker not in (*living, moved.json()["behind"][0]["worker"]):
                (model,) = report.models
                seen.add((model.default, model.aliases.get("stable")))
        return bool(seen)

    service.start(tmp_path / "late.log", repositories[1])
    until(started, 30)
    until(lambda: len(service.client.get(f"/models/{NAME}/aliases/stable").json()["followed"]) == 2, 20)
    assert started()
    assert seen == {("1", highest)}, "it begins with what the others mean, and not with what its repository says"
    assert service.client.get(f"/models/{NAME}/aliases/stable").json()["behind"] == []

"""Versions change under load: every job is answered, each by a version that its reference meant at the time."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.state import OFFERS_CACHE_S
from shared.connection import connect
from shared.manifest import versions
from shared.store import JobStore
from tests.system.fleet import Running, running
from tests.system.telling import BALLAST, confidence, put
from tests.system.watching import finished
from tests.waiting import until
from zoo.aliases import remove, remove_alias, set_alias

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

WORKERS = 2
SWITCHES = 10
RELOADS = 20
JOBS = 500
NAME = "m"


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "gray").save(out, "PNG")
    return out.getvalue()


PICTURE = picture()


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    put(folder, NAME, 1)
    put(folder, NAME, 2)
    set_alias(folder, NAME, "stable", "1")
    return folder


@pytest.fixture(scope="module")
def service(valkey_server: str, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = {
        "models_dir": str(models_dir), "default_model": NAME, "precision": "fp32", "infer_threads": "1",
        "reload_s": "0.1", "retire_s": "3", "sweep_s": "0.5", "cache": "false", "log_level": "INFO",
    }  # fmt: skip
    with connect(valkey_server, "test") as client:
        client.flushall()
        with running(tmp_path_factory.mktemp("logs"), valkey_server, JobStore(client), WORKERS, **settings) as service:
            yield service


@dataclass
class Posted:
    """One job: what it asked for, the version that the API bound it to, and when it was asked and surely done
    (`time.monotonic()`).
    """

    id: str
    asked: str | None
    bound: str | None
    before: float
    done: float = 0.0
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Meant:
    """A version was what `name` or an alias meant to some worker, at some time between the two."""

    version: str
    since: float
    until: float


class Timeline:
    """What the bare name and the alias `stable` meant, as the workers said."""

    def __init__(self, service: Running) -> None:
        self.service = service
        self.meant: dict[str, list[Meant]] = {NAME: [], f"{NAME}@stable": []}
        self._now = {NAME: ("2", 0.0), f"{NAME}@stable": ("1", 0.0)}

    def switch(self, change: Callable[[], object], **expected: str) -> None:
        """Make a change on disk and wait until every worker follows."""
        begun = time.monotonic()
        change()
        until(lambda: len(self.service.said(NAME)) == WORKERS and all(self._as(expected)), 20)
        ended = time.monotonic()
        for asked, key in ((NAME, "default"), (f"{NAME}@stable", "stable")):
            before, since = self._now[asked]
            if key in expected and expected[key] != before:
                slack_s = 0.0 if asked == NAME else OFFERS_CACHE_S + 0.5
                self.meant[asked].append(Meant(before, since, ended + slack_s))
                self._now[asked] = (expected[key], begun)

    def close(self) -> None:
        for asked, (version, since) in self._now.items():
            self.meant[asked].append(Meant(version, since, float("inf")))

    def _as(self, expected: dict[str, str]) -> Iterator[bool]:
        for model in self.service.said(NAME):
            yield model.default == expected.get("default", model.default)
            yield model.aliases.get("stable") == expected.get("stable", model.aliases.get("stable"))

    def allows(self, job: Posted, version: str) -> bool:
        asked = job.asked or NAME
        if asked in self.meant:
            return any(
                m.version == version and m.since <= job.done and m.until >= job.before for m in self.meant[asked]
            )
        return asked == f"{NAME}@{version}"


def post(service: Running, asked: str | None) -> Posted:
    before = time.monotonic()
    query = {"model": asked} if asked else {}
    answer = service.client.post("/jobs", params=query, content=PICTURE, headers={"content-type": "image/png"})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    return Posted(job["id"], asked, job["model"]["version"], before)


def bulk(service: Running, asked: str, pictures: int) -> Posted:
    before = time.monotonic()
    answer = service.client.post("/jobs", files=[("file", PICTURE)] * pictures, data={"model": asked})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    return Posted(job["id"], asked, job["model"]["version"], before)


def check(job: Posted, timeline: Timeline) -> set[str]:
    """Every picture was answered by the version that it names, and that version may have answered. Returns them."""
    assert job.body is not None
    assert job.body["status"] == "succeeded", job.body
    answered = set()
    for result in job.body["results"]:
        assert result["status"] == "succeeded", result
        (found,) = result["detections"]
        version = result["version"]
        assert found["label"] == f"v{version}", result
        assert found["confidence"] == pytest.approx(confidence(int(version)), abs=0.001), result
        assert timeline.allows(job, version), (job, timeline.meant)
        answered.add(version)
    if "@" in (job.asked or ""):
        assert answered == {job.bound}
    return answered


def test_500_jobs_while_versions_switch_ten_times(service: Running, models_dir: Path) -> None:
    timeline, posted = Timeline(service), list[Posted]()
    changes: list[tuple[Callable[[], object], dict[str, str], str]] = [
        (lambda: put(models_dir, NAME, 3), {"default": "3"}, "1"),
        (lambda: set_alias(models_dir, NAME, "stable", "3"), {"stable": "3"}, "2"),
        (lambda: remove(models_dir, NAME, "1"), {}, "2"),
        (lambda: set_alias(models_dir, NAME, "default", "2"), {"default": "2"}, "3"),
        (lambda: put(models_dir, NAME, 4), {"default": "2"}, "3"),
        (lambda: set_alias(models_dir, NAME, "stable", "4"), {"stable": "4"}, "2"),
        (lambda: remove_alias(models_dir, NAME, "default"), {"default": "4"}, "4"),
        (lambda: remove(models_dir, NAME, "2"), {}, "4"),
        (lambda: put(models_dir, NAME, 5), {"default": "5"}, "4"),
        (lambda: remove(models_dir, NAME, "3"), {}, "5"),
    ]
    assert len(changes) == SWITCHES
    with ThreadPoolExecutor(4) as pool:
        for change, expected, there in changes:
            asked = cycle([None, NAME, f"{NAME}@stable", f"{NAME}@{there}", None])
            posting: list[Future[Posted]] = []
            for _ in range(JOBS // SWITCHES):
                posting.append(pool.submit(post, service, next(asked)))
            timeline.switch(change, **expected)
            posted += [one.result(30) for one in posting]
        ended = finished(service.client, [job.id for job in posted], 30)
        for job in posted:
            job.body, job.done = ended[job.id], time.monotonic()
    timeline.close()
    assert len({job.id for job in posted}) == JOBS
    seen = {version for job in posted for version in check(job, timeline)}
    assert seen == {"1", "2", "3", "4", "5"}


def test_jobs_bound_to_a_version_that_is_removed_are_still_answered_by_it(service: Running, models_dir: Path) -> None:
    timeline, number = Timeline(service), newest(models_dir) + 1
    put(models_dir, NAME, number)
    set_alias(models_dir, NAME, "keep", str(number))
    until(lambda: all(model.aliases.get("keep") == str(number) for model in service.said(NAME)))
    until(lambda: service.client.post("/jobs", json=asking(f"{NAME}@keep")).status_code == 202)
    jobs = [bulk(service, f"{NAME}@{name}", 90) for name in (number, "keep", number)]
    remove_alias(models_dir, NAME, "keep")
    put(models_dir, NAME, number + 1)
    remove(models_dir, NAME, str(number))
    ended = finished(service.client, [job.id for job in jobs], 30)
    for job in jobs:
        job.body, job.asked = ended[job.id], f"{NAME}@{number}"  # what the alias meant when it was posted
        assert check(job, timeline) == {str(number)}
    until(lambda: service.client.post("/jobs", json=asking(f"{NAME}@{number}")).status_code == 422)
    refused = service.client.post("/jobs", json=asking(f"{NAME}@{number}")).json()
    assert refused["code"] == "unknown_model"
    assert str(number + 1) in refused["detail"]
    assert service.client.get(f"/models/{NAME}@{number}").status_code == 404


def test_a_broken_version_is_refused_and_the_old_one_goes_on(service: Running, models_dir: Path) -> None:
    good = int(versions(models_dir, NAME)[-1])
    until(lambda: {model.default for model in service.said(NAME)} == {str(good)})
    unfinished, broken = models_dir / NAME / ".broken", models_dir / NAME / str(newest(models_dir) + 1)
    shutil.copytree(models_dir / NAME / str(good), unfinished)
    described = json.loads((unfinished / "model.json").read_text())
    (unfinished / "model.json").write_text(json.dumps(described | {"version": broken.name}))
    (unfinished / "model.onnx").write_bytes(b"cut short")
    unfinished.rename(broken)
    until(lambda: all(model.refused for model in service.said(NAME)))
    shown = service.client.get(f"/models/{NAME}").json()
    assert (shown["version"], {one["version"] for one in shown["refused"]}) == (str(good), {broken.name})
    assert len(shown["refused"]) == WORKERS
    assert "sha256" in shown["refused"][0]["reason"]
    done = service.client.post("/jobs", json=asking(NAME), headers={"Prefer": "wait=10"}).json()
    assert done["model"]["version"] == str(good)
    assert service.client.post("/jobs", json=asking(f"{NAME}@{broken.name}")).status_code == 422
    remove(models_dir, NAME, broken.name)
    until(lambda: not any(model.refused for model in service.said(NAME)))


def test_queues_are_followed_over_a_lost_broker_connection(service: Running, models_dir: Path) -> None:
    number = newest(models_dir) + 1
    with connect(service.redis_url, "killer") as killer:
        for kind in ("normal", "pubsub"):
            killer.client_kill_filter(_type=kind, skipme=True)
        put(models_dir, NAME, number)
        killer.client_kill_filter(_type="normal", skipme=True)
    until(lambda: {model.default for model in service.said(NAME)} == {str(number)}, 20)
    until(lambda: service.client.get("/healthz").status_code == 200)
    jobs = [post(service, f"{NAME}@{number}"), post(service, NAME)]
    for body in finished(service.client, [job.id for job in jobs], 20).values():
        assert body["model"]["version"] == str(number)
    assert "onnection to broker lost" in service.log(), "the test shows nothing"


def test_memory_returns_after_20_reloads(service: Running, models_dir: Path) -> None:
    until(lambda: loaded(service) == offered(service), 20)
    before = service.memory()
    for _ in range(RELOADS):
        number, last = newest(models_dir) + 1, versions(models_dir, NAME)[-1]
        put(models_dir, NAME, number)
        remove(models_dir, NAME, last)
        until(lambda number=number: {model.default for model in service.said(NAME)} == {str(number)})  # type: ignore[misc]
        done = service.client.post("/jobs", json=asking(NAME), headers={"Prefer": "wait=10"}).json()
        assert done["status"] == "succeeded"
    until(lambda: loaded(service) == offered(service), 20)
    after = service.memory()
    # A version that stayed would hold its table at least.
    assert all(now - then < 4 * BALLAST * 4 for then, now in zip(before, after, strict=True)), (before, after)


def loaded(service: Running) -> int:
    """Versions in memory, of all workers."""
    return service.log().count('"model ready"') - service.log().count('"model unloaded"')


def offered(service: Running) -> int:
    """Versions that are wanted, of all workers."""
    return sum(len(model.loaded) for model in service.said(NAME))


def newest(models_dir: Path) -> int:
    """The highest number that was ever given: that of a removed version is not given again."""
    return max(int(path.name) for path in (models_dir / NAME).iterdir() if path.name.isdigit())


def asking(reference: str) -> dict[str, Any]:
    return {"model": reference, "image": {"base64": base64.b64encode(PICTURE).decode()}}

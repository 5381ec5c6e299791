"""Aliases set over HTTP go before those of a worker's repository, as far as it has their versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.assignments import Assignment, Assignments
from shared.errors import StartupError
from shared.manifest import aliases
from tests.worker.fake_models import FakeLoad, put
from worker.models import Models


class Bench:
    """A repository with three versions and an alias, and a worker's models."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.load, self.edition = folder, FakeLoad(), 0
        for version in "123":
            put(folder, "m", version)
        self.alias(stable="1")
        self.models = Models(folder, self.load, required=("m",), discover=True, grace_s=0)

    def alias(self, **named: str) -> None:
        (self.folder / "m" / "aliases.json").write_text(json.dumps(named))

    def assign(self, **named: str) -> None:
        self.edition += 1
        told = {
            alias: Assignment(model="m", alias=alias, version=version, edition=self.edition, by="shop")
            for alias, version in named.items()
        }
        self.models.assigned = Assignments(self.edition, {"m": told})

    def shown(self) -> tuple[str | None, dict[str, str], list[str]]:
        self.models.refresh({})
        self.models.announced(self.models.offer().revision)
        self.models.retire({})
        self.models.close_unused(5)
        (model,) = self.models.offer().models
        return model.default, model.aliases, [one.version for one in model.loaded]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "models")
    yield bench
    bench.models.close(5)


def test_an_assigned_alias_goes_before_that_of_the_repository_and_back(bench: Bench) -> None:
    bench.models.load_all()
    assert bench.shown() == ("3", {"stable": "1"}, ["1", "3"])
    bench.assign(stable="3", canary="2")
    assert bench.shown() == ("3", {"stable": "3", "canary": "2"}, ["2", "3"])
    bench.alias(stable="2")
    assert bench.shown() == ("3", {"stable": "3", "canary": "2"}, ["2", "3"])
    bench.assign(canary="2")
    assert bench.shown() == ("3", {"stable": "2", "canary": "2"}, ["2", "3"])
    bench.assign()
    assert bench.shown() == ("3", {"stable": "2"}, ["2", "3"])
    assert aliases(bench.folder, "m") == {"stable": "2"}, "the repository itself is never written to"


def test_the_assigned_default_answers_a_bare_name(bench: Bench) -> None:
    bench.models.load_all()
    bench.assign(default="1")
    assert bench.shown() == ("1", {"stable": "1"}, ["1", "3"])
    with bench.models.using("m") as served:
        assert served is not None
        assert served.manifest.version == "1"
    bench.alias(stable="1", default="2")
    assert bench.shown()[0] == "1"
    bench.assign()
    assert bench.shown()[0] == "2"


def test_a_worker_that_starts_late_starts_with_them(bench: Bench) -> None:
    bench.assign(default="2", stable="3")
    bench.models.load_all()
    assert bench.models.offer().followed == 1
    assert bench.shown() == ("2", {"stable": "3"}, ["2", "3"])
    assert bench.load.tried == ["m@2", "m@3"], "what nothing names is not even loaded"


def test_where_the_version_is_not_in_the_repository_its_own_alias_holds(bench: Bench) -> None:
    bench.alias(stable="1", default="2")
    bench.models.load_all()
    bench.assign(stable="7", default="7", other="7")
    assert bench.shown() == ("2", {"stable": "1"}, ["1", "2", "3"])
    assert bench.models.offer().followed == 1
    put(bench.folder, "m", "7")
    assert bench.shown() == ("7", {"stable": "7", "other": "7"}, ["7"])


def test_a_version_that_does_not_load_leaves_the_alias_where_it_was(bench: Bench) -> None:
    bench.models.load_all()
    bench.load.refuse("m@2")
    bench.assign(stable="2", default="2")
    assert bench.shown() == ("3", {"stable": "1"}, ["1", "3"])
    (model,) = bench.models.offer().models
    assert [one.version for one in model.refused] == ["2"]


def test_a_start_fails_where_the_assigned_default_does_not_load(bench: Bench) -> None:
    bench.load.refuse("m@2")
    bench.assign(default="2")
    with pytest.raises(StartupError, match="m@2 is broken"):
        bench.models.load_all()


def test_damaged_aliases_on_disk_do_not_hold_up_those_assigned(bench: Bench) -> None:
    bench.models.load_all()
    (bench.folder / "m" / "aliases.json").write_text("{")
    bench.assign(stable="2")
    assert bench.shown()[1] == {"stable": "2"}


def test_an_edition_is_followed_when_everything_of_it_is_loaded(bench: Bench) -> None:
    bench.models.load_all()
    bench.assign(stable="2")
    before = bench.models.offer()
    during: list[int] = []
    bench.load.before = lambda: during.append(bench.models.offer().followed)
    bench.models.refresh({}, stopping=lambda: True)
    assert bench.models.offer() == before, "a look that was broken off follows nothing"
    bench.models.refresh({})
    assert during == [0]
    after = bench.models.offer()
    assert after.followed == 1
    assert after.revision > before.revision
    bench.assign(stable="2")
    bench.models.refresh({})
    assert bench.models.offer().followed == 2
    assert bench.models.offer().revision > after.revision, "so it is announced, though nothing else changed"


def test_a_repository_that_is_not_mounted_follows_nothing(bench: Bench) -> None:
    bench.models.load_all()
    bench.folder.rename(bench.folder.with_name("away"))
    bench.assign(stable="2")
    bench.models.refresh({})
    assert bench.models.offer().followed == 0

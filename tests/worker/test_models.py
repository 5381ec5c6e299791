"""What a worker has loaded follows the disk; references never point to nothing while somebody may use them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.errors import StartupError
from tests.worker.fake_models import FakeLoad, put
from worker.models import Gone, Models
from worker.ondisk import look


class Bench:
    """A repository and the models of a worker that serves it; grace is over as soon as the change is announced."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.load = folder, FakeLoad()
        self.models = self.fresh()

    def fresh(self, required: tuple[str, ...] = ("m",), discover: bool = True) -> Models:
        self.models = Models(self.folder, self.load, required=required, discover=discover, grace_s=0)
        return self.models

    def alias(self, **named: str) -> None:
        (self.folder / "m" / "aliases.json").write_text(json.dumps(named))

    def answers(self, reference: str) -> str | None:
        with self.models.using(reference) as served:
            return served.manifest.version if served else None

    def shown(self, name: str = "m") -> tuple[str | None, dict[str, str], list[str], list[str | None]]:
        (model,) = (one for one in self.models.offer().models if one.name == name)
        loaded = [one.version for one in model.loaded]
        return model.default, model.aliases, loaded, [one.version for one in model.refused]

    def tick(self, asked: dict[str, set[str]] | None = None, open_jobs: dict[str, int] | None = None) -> None:
        """As the reload thread and the presence thread do, one after the other."""
        self.models.refresh(asked or {})
        self.models.announced(self.models.offer().revision)
        self.models.retire(open_jobs or {})
        self.models.close_unused(5)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    put(tmp_path, "m", "1")
    bench = Bench(tmp_path)
    yield bench
    bench.models.close(5)
    assert bench.load.running == 0, "a batcher was left behind"


def test_a_new_version_is_loaded_beside_the_old_one_and_then_answers(bench: Bench) -> None:
    bench.models.load_all()
    assert (bench.answers("m"), bench.answers("m@1"), bench.answers("m@2")) == ("1", "1", None)
    seen_while_loading: list[str | None] = []
    bench.load.before = lambda: seen_while_loading.append(bench.answers("m"))
    put(bench.folder, "m", "2")
    bench.models.refresh({})
    assert seen_while_loading == ["1"]
    assert (bench.answers("m"), bench.answers("m@1"), bench.answers("m@2")) == ("2", "1", "2")
    assert bench.shown() == ("2", {}, ["2"], [])
    bench.tick()
    assert (bench.answers("m"), bench.answers("m@1")) == ("2", None)
    assert (bench.load.tried, bench.load.running) == (["m@1", "m@2"], 1)


def test_the_grace_begins_with_the_announcement(bench: Bench) -> None:
    bench.models.load_all()
    put(bench.folder, "m", "2")
    told = bench.models.offer().revision
    bench.models.refresh({})
    bench.models.announced(told)  # an older offer, which still had it
    bench.models.retire({})
    assert bench.answers("m@1") == "1"
    bench.models.announced(bench.models.offer().revision)
    bench.models.retire({})
    assert bench.answers("m@1") is None


def test_a_version_stays_while_its_grace_lasts(tmp_path: Path) -> None:
    put(tmp_path, "m", "1")
    models = Models(tmp_path, FakeLoad(), required=("m",), discover=False, grace_s=60)
    models.load_all()
    put(tmp_path, "m", "2")
    models.refresh({})
    models.announced(models.offer().revision)
    models.retire({})
    with models.using("m@1") as served:
        assert served is not None
    models.close(5)


def test_a_version_stays_while_a_job_names_it_and_while_it_is_in_use(bench: Bench) -> None:
    bench.models.load_all()
    put(bench.folder, "m", "2")
    bench.tick(open_jobs={"m@1": 1})
    assert bench.answers("m@1") == "1"
    with bench.models.using("m@1") as served:
        bench.tick()
        assert bench.answers("m@1") is None
        assert served is not None
        served.batcher.submit(np.zeros((32, 32, 3), np.uint8)).result(5)
        assert bench.load.running == 2
    bench.tick()
    assert bench.load.running == 1


def test_an_alias_moves_when_its_version_is_ready_and_not_before(bench: Bench) -> None:
    bench.alias(stable="1")
    put(bench.folder, "m", "2")
    bench.models.load_all()
    assert bench.shown() == ("2", {"stable": "1"}, ["1", "2"], [])
    bench.load.refuse("m@3")
    put(bench.folder, "m", "3")
    bench.alias(stable="3")
    bench.tick()
    assert bench.shown() == ("2", {"stable": "1"}, ["1", "2"], ["3"])
    put(bench.folder, "m", "4")
    bench.alias(stable="4")
    bench.tick()
    assert bench.shown() == ("4", {"stable": "4"}, ["4"], ["3"])


def test_the_alias_default_decides_and_the_highest_stays_ready(bench: Bench) -> None:
    for version in ("2", "3", "10"):
        put(bench.folder, "m", version)
    bench.alias(default="2")
    bench.models.load_all()
    assert bench.shown() == ("2", {}, ["2", "10"], [])
    assert (bench.answers("m"), bench.answers("m@10"), bench.answers("m@3")) == ("2", "10", None)
    bench.alias()
    bench.tick()
    assert bench.shown() == ("10", {}, ["10"], [])


def test_going_back_at_once_loads_nothing_anew(bench: Bench) -> None:
    put(bench.folder, "m", "2")
    bench.models.load_all()
    put(bench.folder, "m", "3")
    bench.models.refresh({})
    bench.alias(default="2")
    bench.models.refresh({})
    assert bench.answers("m") == "2"
    assert bench.load.tried == ["m@2", "m@3"]


def test_a_broken_version_is_tried_once_until_its_files_change(bench: Bench) -> None:
    bench.models.load_all()
    bench.load.refuse("m@2")
    put(bench.folder, "m", "2")
    for _ in range(3):
        bench.tick()
    assert bench.shown() == ("1", {}, ["1"], ["2"])
    assert bench.load.tried == ["m@1", "m@2"]
    assert bench.answers("m") == "1"
    del bench.load.broken["m@2"]
    put(bench.folder, "m", "2", "b" * 64)
    bench.tick()
    assert bench.shown() == ("2", {}, ["2"], [])


def test_what_was_refused_while_another_was_leaving_is_tried_once_more(bench: Bench) -> None:
    """The device may have been full of the old ones."""
    bench.models.load_all()
    put(bench.folder, "m", "2")
    bench.models.refresh({})
    bench.load.broken["m@3"] = MemoryError()
    put(bench.folder, "m", "3")
    for _ in range(4):
        bench.tick()
    assert bench.load.tried == ["m@1", "m@2", "m@3", "m@3"]
    assert bench.shown() == ("2", {}, ["2"], ["3"])


def test_damage_on_disk_is_refused_with_its_reason(bench: Bench) -> None:
    bench.models.load_all()
    (put(bench.folder, "m", "2") / "model.json").write_text("{")
    bench.tick()
    (model,) = bench.models.offer().models
    (refusal,) = model.refused
    assert (model.default, refusal.version) == ("1", "2")
    assert refusal.reason.startswith("m/2/model.json is damaged"), "the path of the repository is nobody's business"


def test_damaged_aliases_change_nothing_and_are_shown(bench: Bench) -> None:
    put(bench.folder, "m", "2")
    bench.alias(default="1", stable="1")
    bench.models.load_all()
    (bench.folder / "m" / "aliases.json").write_text("[")
    bench.tick()
    assert bench.shown() == ("1", {"stable": "1"}, ["1", "2"], [None])
    bench.alias(stable="2")
    bench.tick()
    assert bench.shown() == ("2", {"stable": "2"}, ["2"], [])


def test_other_content_under_the_same_number_replaces_it(bench: Bench) -> None:
    bench.models.load_all()
    put(bench.folder, "m", "1", "b" * 64)
    bench.tick(open_jobs={"m@1": 1})
    with bench.models.using("m@1") as served:
        assert served is not None
        assert served.manifest.sha256 == "b" * 64
    assert bench.load.running == 1
    (bench.folder / "m" / "1" / "model.onnx").touch()
    bench.tick()
    assert bench.load.tried == ["m@1", "m@1"], "the same content again is nothing new"


def test_versions_that_pictures_wait_for_are_loaded(bench: Bench) -> None:
    put(bench.folder, "m", "2")
    bench.models.load_all()
    bench.tick(asked={"m": {"1", "7"}})
    assert bench.shown() == ("2", {}, ["1", "2"], [])
    bench.tick()
    assert bench.shown() == ("2", {}, ["2"], [])


def test_models_come_and_go_but_required_ones_stay(bench: Bench) -> None:
    bench.models.load_all()
    put(bench.folder, "other", "1")
    bench.tick()
    assert bench.answers("other") == "1"
    shutil.rmtree(bench.folder / "other")
    shutil.rmtree(bench.folder / "m")
    bench.models.refresh({})
    bench.models.announced(bench.models.offer().revision)
    bench.models.retire({"other": 1})
    assert (bench.answers("m"), bench.answers("other")) == ("1", "1"), "somebody still waits for it"
    assert bench.shown("other") == (None, {}, [], [])
    bench.models.retire({})
    gone = bench.models.close_unused(5)
    assert gone == Gone(("other@1",), frozenset({"other@1"}), frozenset({"other"}))
    assert bench.answers("other") is None
    assert {model.name for model in bench.models.offer().models} == {"m"}


def test_a_repository_that_is_away_ends_nothing(bench: Bench) -> None:
    put(bench.folder, "other", "1")
    bench.models.load_all()
    away = bench.folder.with_name("away")
    bench.folder.rename(away)
    bench.tick()
    assert (bench.answers("m"), bench.answers("other")) == ("1", "1")


def test_only_named_models_are_served(bench: Bench) -> None:
    put(bench.folder, "other", "1")
    bench.fresh(discover=False).load_all()
    bench.tick()
    assert bench.answers("other") is None
    assert bench.models.references == {"m", "m@1"}


class TestStart:
    """A start fails where the operator's word cannot be kept, and only there."""

    def test_the_highest_version_that_works_is_taken(self, bench: Bench) -> None:
        put(bench.folder, "m", "2")
        bench.load.refuse("m@2")
        bench.models.load_all()
        assert bench.shown() == ("1", {}, ["1"], ["2"])

    def test_a_default_by_alias_must_work(self, bench: Bench) -> None:
        put(bench.folder, "m", "2")
        bench.alias(default="2")
        bench.load.refuse("m@2")
        with pytest.raises(StartupError, match="m@2 is broken"):
            bench.models.load_all()

    def test_a_required_model_must_work(self, bench: Bench) -> None:
        bench.load.refuse("m@1")
        with pytest.raises(StartupError, match="m@1 is broken"):
            bench.models.load_all()

    def test_a_required_model_must_be_there(self, bench: Bench) -> None:
        with pytest.raises(StartupError, match="No model n in"):
            bench.fresh(("n",)).load_all()

    def test_another_model_that_is_broken_hinders_nothing(self, bench: Bench) -> None:
        put(bench.folder, "other", "1")
        bench.load.refuse("other@1")
        bench.models.load_all()
        assert bench.shown("other") == (None, {}, [], ["1"])
        assert bench.models.references == {"m", "m@1"}

    def test_damaged_aliases_of_a_required_model_stop_it(self, bench: Bench) -> None:
        (bench.folder / "m" / "aliases.json").write_text("[")
        with pytest.raises(StartupError, match="aliases"):
            bench.models.load_all()


def test_a_look_at_the_disk_sees_complete_versions_and_every_change(tmp_path: Path) -> None:
    assert look(tmp_path, "m").versions == {}
    put(tmp_path, "m", "2")
    put(tmp_path, "m", "10")
    (tmp_path / "m" / "11").mkdir()
    first = look(tmp_path, "m")
    assert list(first.versions) == ["2", "10"]
    assert look(tmp_path, "m") == first
    (tmp_path / "m" / "2" / "model.onnx").write_text("other")
    assert look(tmp_path, "m").versions["2"] != first.versions["2"]
    assert look(tmp_path, "m").versions["10"] == first.versions["10"]
    assert (first.default(()), first.default({"10"}), first.default({"2", "10"})) == ("10", "2", None)

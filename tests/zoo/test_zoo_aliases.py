"""Aliases and removal: what a reader sees, what is refused, and that no version number ever means two files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from shared import manifest
from shared.errors import StartupError
from tests.zoo.test_zoo_repository import converted, install
from zoo import aliases
from zoo.errors import RepositoryError


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with versions 1 to 3 of `m`."""
    for seed in range(3):
        install(tmp_path / "models", converted(tmp_path, seed))
    return tmp_path / "models"


def test_the_default_is_the_highest_version_or_the_alias(models: Path) -> None:
    assert manifest.read(models, "m")[0].version == "3"
    aliases.set_alias(models, "m", "default", "2")
    assert manifest.read(models, "m")[0].version == "2"
    aliases.remove_alias(models, "m", "default")
    assert manifest.read(models, "m")[0].version == "3"


def test_an_alias_moves(models: Path) -> None:
    aliases.set_alias(models, "m", "canary", "3")
    aliases.set_alias(models, "m", "stable", "1")
    aliases.set_alias(models, "m", "stable", "2")
    assert manifest.aliases(models, "m") == {"canary": "3", "stable": "2"}
    assert manifest.read(models, "m", "stable")[0].version == "2"
    assert sorted(path.name for path in (models / "m").iterdir()) == ["1", "2", "3", "aliases.json"]


def test_aliases_set_at_once_are_all_kept(models: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: aliases.set_alias(models, "m", f"a{k}", str(k % 3 + 1)), range(40)))
    assert manifest.aliases(models, "m") == {f"a{k}": str(k % 3 + 1) for k in range(40)}


@pytest.mark.parametrize("alias", ["", "2", "9a", "Stable", "../x", "a/b", "a" * 64])
def test_what_is_no_alias_is_refused(alias: str, models: Path) -> None:
    with pytest.raises(RepositoryError, match="is not an alias"):
        aliases.set_alias(models, "m", alias, "1")


def test_what_is_not_there_is_named(models: Path) -> None:
    with pytest.raises(RepositoryError, match=r"No version 4 of m.*there are 1, 2, 3"):
        aliases.set_alias(models, "m", "stable", "4")
    with pytest.raises(RepositoryError, match="No model other"):
        aliases.set_alias(models, "other", "stable", "1")
    with pytest.raises(RepositoryError, match="not a model name"):
        aliases.remove(models, "../m")
    with pytest.raises(RepositoryError, match="no alias stable; it has none"):
        aliases.remove_alias(models, "m", "stable")


def test_a_removed_number_is_not_given_again(models: Path, tmp_path: Path) -> None:
    before = onnx.load(models / "m/2/model.onnx")
    assert aliases.remove(models, "m", "3") == ["3"]
    assert manifest.versions(models, "m") == ["1", "2"]
    assert install(models, converted(tmp_path, 7)).version == "4"
    assert aliases.remove(models, "m") == ["1", "2", "4"]
    assert manifest.names(models) == []
    with pytest.raises(RepositoryError, match="there is none"):
        aliases.remove(models, "m")
    assert install(models, before).version == "5"


def test_a_version_with_an_alias_stays(models: Path) -> None:
    aliases.set_alias(models, "m", "stable", "1")
    with pytest.raises(RepositoryError, match="m@1 is stable: move or remove the alias first"):
        aliases.remove(models, "m", "1")
    aliases.remove(models, "m")
    assert manifest.aliases(models, "m") == {}


def test_damaged_aliases_are_named(models: Path) -> None:
    path = models / "m" / manifest.ALIASES_FILE
    for text in ("", "[]", json.dumps({"stable": "x"}), json.dumps({"2": "1"})):
        path.write_text(text)
        with pytest.raises(StartupError, match=r"aliases\.json is damaged"):
            manifest.read(models, "m")
        with pytest.raises(RepositoryError, match=r"aliases\.json is damaged"):
            aliases.set_alias(models, "m", "stable", "1")


def test_an_alias_to_a_version_that_is_gone_does_not_hide_the_others(models: Path) -> None:
    (models / "m" / manifest.ALIASES_FILE).write_text('{"default": "9"}')
    assert manifest.read(models, "m")[0].version == "3"
    with pytest.raises(StartupError, match="No model m@9"):
        manifest.read(models, "m", "9")


def test_damaged_aliases_do_not_stand_in_the_way_of_a_number(models: Path) -> None:
    (models / "m" / manifest.ALIASES_FILE).write_text("{")
    assert manifest.read(models, "m", "2")[0].version == "2"
    for version in (None, "stable", "4"):
        with pytest.raises(StartupError, match="is damaged"):
            manifest.read(models, "m", version)

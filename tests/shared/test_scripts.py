"""The scripts' texts: each has the parts that it uses, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.scripts import scripts

LUA = Path(__file__).parent.parent.parent / "shared" / "lua"
PARTS = {path.stem: path.read_text() for path in (LUA / "parts").glob("*.lua")}
FILES = sorted(LUA.rglob("*.lua"))


def named(text: str) -> set[str]:
    """What stands behind `-- with:`."""
    found = re.search(r"^-- with: (.+)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]+", re.sub(r"--.*", "", text)))


def defined(text: str) -> set[str]:
    """Functions and constants at the top of a part."""
    constants = re.findall(r"^local ([A-Z_]+(?:, [A-Z_]+)*) =", text, re.MULTILINE)
    return {*re.findall(r"^local function (\w+)", text, re.MULTILINE), *", ".join(constants).split(", ")} - {""}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LUA)))
def test_a_text_names_the_parts_that_it_uses(path: Path) -> None:
    text = path.read_text()
    itself = {path.stem} if path.parent.name == "parts" else set()
    used = {part for part, its in PARTS.items() if defined(its) & words(text)} - {"keys"} - itself
    assert named(text) == used


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LUA)))
def test_a_text_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 150


def test_no_name_is_given_twice() -> None:
    names = [name for text in PARTS.values() for name in defined(text)]
    assert len(names) == len(set(names))


def test_a_part_stands_once_and_behind_those_that_it_uses() -> None:
    for name, text in scripts().items():
        at = {part: text.find(its) for part, its in PARTS.items() if its in text}
        assert set(at) >= {"keys", *named((LUA / f"{name}.lua").read_text())}
        assert min(at, key=lambda part: at[part]) == "keys"
        for part in at:
            assert text.count(PARTS[part]) == 1
            assert all(at[other] < at[part] for other in named(PARTS[part]))


def test_flags_are_the_first_line() -> None:
    assert all(re.match(r"#!lua( flags=[a-z,-]+)?\n", text) for text in scripts().values())

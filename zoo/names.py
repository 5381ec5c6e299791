"""Darknet's small text files -> labels, label trees and maps: `.names`, `.data`, `.tree`, `.map`.

Knows their syntax (`get_labels`, `read_data_cfg`, `read_tree` and `read_map` of darknet), not which network they belong
to. Blank lines at the end of a file do not count; elsewhere they would shift every number after them and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import NamesError

MAX_BYTES = 16 << 20
MAX_LINES = 1 << 17
MAX_DEPTH = 64

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """Classes in a tree, as darknet's `read_tree` groups them. A parent stands before its children.

    A group is a run of neighbouring classes with one parent: the alternatives between which a softmax decides. The
    first group is where a prediction starts. `ids` are names for people, such as WordNet's; `parents` is -1 at a root.
    """

    ids: tuple[str, ...]
    parents: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def offsets(self) -> Ints:
        """First class of each group: int64 (G,)."""
        parents = np.array(self.parents, np.int64)
        return np.flatnonzero(np.append(True, parents[1:] != parents[:-1])).astype(np.int64)

    @cached_property
    def sizes(self) -> Ints:
        """Count of classes in each group: int64 (G,)."""
        return np.diff(np.append(self.offsets, len(self)))

    @cached_property
    def groups(self) -> Ints:
        """The group that each class is in: int64 (C,)."""
        return np.repeat(np.arange(len(self.offsets)), self.sizes)

    @cached_property
    def children(self) -> Ints:
        """The group of each class's children, the last one where there are several; -1 for a leaf: int64 (C,)."""
        found = np.full(len(self), -1, np.int64)
        for group, offset in enumerate(self.offsets):
            if self.parents[offset] >= 0:
                found[self.parents[offset]] = group
        return found

    def path(self, index: int) -> list[int]:
        """A class and its ancestors, from the root down."""
        found = [index]
        while self.parents[found[-1]] >= 0:
            found.append(self.parents[found[-1]])
        return found[::-1]


@dataclass(frozen=True)
class Data:
    """What a `.data` file says of a model; None where it says nothing.

    Its `map` is left out: `darknet detector test` does not read it either, only `detector valid` does, and that of
    darknet's `combine9k.data` is for another set of pictures.

    Attributes:
        names: file of the labels, not read yet.
    """

    classes: int | None
    names: Path | None


def labels(path: Path) -> tuple[str, ...]:
    """The labels of a `.names` file, one a line, in the order of the network's classes. Outer blanks are dropped.

    Raises:
        NamesError: the file cannot be read, is no UTF-8 text, is empty, or has a blank line before its end.
    """
    return tuple(_lines(path))


def tree(path: Path) -> Tree:
    """A `.tree` file: each line a name and the number of the parent's line, from 0; -1 for a root.

    Raises:
        NamesError: as `labels`; a line of another form; a parent that does not stand before its child.
    """
    ids: list[str] = []
    parents: list[int] = []
    depths: list[int] = []
    for number, line in enumerate(_lines(path)):
        name, *rest = line.split()
        parent = _integer(path, number, " ".join(rest))
        if not -1 <= parent < number:
            raise NamesError(f"{path.name} line {number + 1}: parent {parent} does not stand before its child.")
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
        if depths[-1] >= MAX_DEPTH:
            raise NamesError(f"{path.name} line {number + 1}: the tree is deeper than {MAX_DEPTH} levels.")
        ids.append(name)
        parents.append(parent)
    return Tree(tuple(ids), tuple(parents))


def mapping(path: Path) -> tuple[int, ...]:
    """A `.map` file: for each reported class the number of the network's class, one a line.

    Raises:
        NamesError: as `labels`; a line that is not a whole number from 0 on.
    """
    found = [_integer(path, number, line) for number, line in enumerate(_lines(path))]
    if min(found) < 0:
        raise NamesError(f"{path.name} line {found.index(min(found)) + 1}: {min(found)} is no class.")
    return tuple(found)


def data(path: Path) -> Data:
    """A `.data` file: `key = value` lines, of which the first of a key counts.

    Raises:
        NamesError: as `labels`; `classes` is not a whole number; a file that it names is not there.
    """
    said: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(_text(path).split("\n")):
        key, equals, value = "".join(line.split()).partition("=")
        if equals and value and key[:1] not in ("#", ";"):
            said.setdefault(key, (number, value))
    names = said.get("names", said.get("labels"))
    return Data(
        classes=_integer(path, *said["classes"]) if "classes" in said else None,
        names=beside(path, names[1]) if names else None,
    )


def beside(path: Path, name: str) -> Path:
    """The file that a cfg or a `.data` file at `path` calls `name`.

    Darknet looks from the folder it runs in, which holds `cfg/` and `data/`: so a relative name is looked up from the
    folder above `path`'s, then from its own, then as a bare file name in its own.

    Raises:
        NamesError: there is no such file.
    """
    folder = path.resolve().parent
    tried = [folder.parent / name, folder / name, folder / Path(name).name]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise NamesError(f"{path.name} names the file {name}, which is not there: put it into {folder}.")


def _lines(path: Path) -> list[str]:
    """The lines without outer blanks; at least one, none of them empty."""
    found = [line.strip() for line in _text(path).split("\n")]
    while found and not found[-1]:
        found.pop()
    if not found:
        raise NamesError(f"{path.name} is empty.")
    if len(found) > MAX_LINES:
        raise NamesError(f"{path.name} has {len(found)} lines; {MAX_LINES} can be read.")
    if "" in found:
        raise NamesError(f"{path.name} line {found.index('') + 1} is blank: every line is one class.")
    return found


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NamesError(f"{path.name} has {size} bytes; {MAX_BYTES} can be read.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NamesError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise NamesError(f"{path.name} is not UTF-8 text.") from None


def _integer(path: Path, number: int, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise NamesError(f"{path.name} line {number + 1}: {text.strip()[:40]!r} is not a whole number.") from None

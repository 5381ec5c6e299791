"""Darknet's small text files: what they say, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo import darknet, names
from zoo.errors import CfgError, NamesError

DISTRIBUTED = Path("/usr/share/darknet/data")


def written(folder: Path, text: str | bytes, name: str = "a.file") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_labels_stand_one_a_line(tmp_path: Path) -> None:
    assert names.labels(written(tmp_path, "person\n traffic light \r\ntv\n\n\n")) == ("person", "traffic light", "tv")
    assert names.labels(written(tmp_path, "\ufeffköpek")) == ("köpek",)
    assert names.labels(written(tmp_path, "crane\ncrane\n")) == ("crane", "crane"), "the bird and the machine"


def test_labels_that_would_be_shifted_or_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for text, reason in (
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a\n\nb\n", "line 2 is blank"),
        ("\na\n", "line 1 is blank"),
        (b"caf\xe9\n", "not UTF-8"),
        ("a\n" * (names.MAX_LINES + 1), "131073 lines; 131072 can be read"),
        (b"a" * (names.MAX_BYTES + 1), "16777217 bytes"),
    ):
        with pytest.raises(NamesError, match=reason):
            names.labels(written(tmp_path, text))
    with pytest.raises(NamesError, match="No such file"):
        names.labels(tmp_path / "none.names")


def test_a_tree_has_groups_and_children(tmp_path: Path) -> None:
    found = names.tree(written(tmp_path, "root -1\nother -1\na 0\nb\t0\nc 1\nd 2\ne 0\n"))
    assert found.ids == ("root", "other", "a", "b", "c", "d", "e")
    assert found.parents == (-1, -1, 0, 0, 1, 2, 0)
    assert len(found) == 7
    assert found.offsets.tolist() == [0, 2, 4, 5, 6]
    assert found.sizes.tolist() == [2, 2, 1, 1, 1]
    assert found.groups.tolist() == [0, 0, 1, 1, 2, 3, 4]
    assert found.children.tolist() == [4, 2, 3, -1, -1, -1, -1], "of two runs the last counts"
    assert found.path(5) == [0, 2, 5]


@given(st.data(), st.integers(1, 60))
def test_groups_cover_every_class_once(data: st.DataObject, count: int) -> None:
    parents = tuple(data.draw(st.integers(-1, index - 1)) for index in range(count))
    tree = names.Tree(("",) * count, parents)
    assert tree.sizes.sum() == count
    assert (tree.sizes > 0).all()
    for index, parent in enumerate(parents):
        begin = tree.offsets[tree.groups[index]]
        assert begin <= index < begin + tree.sizes[tree.groups[index]]
        assert parents[begin] == parent
        assert tree.path(index)[-1] == index
    inner = {parent for parent in parents if parent >= 0}
    assert set(np.flatnonzero(tree.children >= 0)) == inner


def test_trees_that_are_none_are_refused(tmp_path: Path) -> None:
    deep = "\n".join(f"n {index - 1}" for index in range(names.MAX_DEPTH + 1))
    for text, reason in (
        ("a -1\nb 1\n", "line 2: parent 1 does not stand before its child"),
        ("a -2\n", "line 1: parent -2"),
        ("a -1\nb\n", "line 2: '' is not a whole number"),
        ("a -1\nb 0 7\n", "line 2: '0 7' is not a whole number"),
        ("a -1\n\nb 0\n", "line 2 is blank"),
        (deep, "line 65: the tree is deeper than 64 levels"),
    ):
        with pytest.raises(NamesError, match=reason):
            names.tree(written(tmp_path, text))


def test_maps(tmp_path: Path) -> None:
    assert names.mapping(written(tmp_path, "5177\n3768\n 0\n")) == (5177, 3768, 0)
    for text, reason in (("1\nx\n", "line 2: 'x' is not"), ("1\n-2\n", "line 2: -2 is no class"), ("", "is empty")):
        with pytest.raises(NamesError, match=reason):
            names.mapping(written(tmp_path, text))


def test_a_data_file_names_others_as_darknet_finds_them(tmp_path: Path) -> None:
    """From the folder above, which holds `cfg/` and `data/`; or beside it."""
    labels = written(tmp_path, "a\n", "data/shop.names")
    path = written(
        tmp_path, "classes= 1\n# names = none\nnames = data/shop.names\nnames=x\neval=coco\n", "cfg/shop.data"
    )
    assert names.data(path) == names.Data(1, labels)
    beside = written(tmp_path, "b\n", "cfg/near.names")
    path = written(tmp_path, "labels=/elsewhere/near.names\nmap = data/a.map\n", "cfg/near.data")
    assert names.data(path) == names.Data(None, beside)
    with pytest.raises(NamesError, match=r"names the file data/none\.names, which is not there"):
        names.data(written(tmp_path, "names=data/none.names\n", "cfg/none.data"))
    with pytest.raises(NamesError, match="line 2: 'many' is not a whole number"):
        names.data(written(tmp_path, "eval=coco\nclasses=many\n", "cfg/many.data"))


def test_the_tree_that_a_cfg_names_is_found_near_it(tmp_path: Path) -> None:
    written(tmp_path, "a -1\nb 0\n", "data/9k.tree")
    path = tmp_path / "cfg" / "my.cfg"
    text = "[net]\nwidth=32\nheight=32\n[region]\ntree = data/9k.tree\n"
    assert darknet.tree_of(text, path) == names.Tree(("a", "b"), (-1, 0))
    assert darknet.tree_of(text.replace("tree", "#"), path) is None
    with pytest.raises(NamesError, match=r"my\.cfg names the file data/none"):
        darknet.tree_of(text.replace("9k.tree", "none"), path)
    with pytest.raises(CfgError, match="does not begin"):
        darknet.tree_of("", path)


def test_the_distributed_files_are_read() -> None:
    if not (DISTRIBUTED / "9k.tree").is_file():
        pytest.skip("Debian's package darknet is not installed")
    tree, labels = names.tree(DISTRIBUTED / "9k.tree"), names.labels(DISTRIBUTED / "9k.names")
    assert len(tree) == len(labels) == 9418
    assert len(tree.offsets) == 1846
    assert max(len(tree.path(index)) for index in range(9418)) == 17
    mapped = names.mapping(DISTRIBUTED / "coco9k.map")
    assert [labels[index] for index in mapped[:4]] == ["person", "bicycle", "car", "motorcycle"]
    assert len(mapped) == 80

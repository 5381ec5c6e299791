"""Heads and whole networks with random weights against darknet: as recorded, and itself where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from shared.manifest import Frame, Manifest, Origin
from shared.schema import Options
from tests.reference import networks
from tests.reference.record_heads import darknet
from tests.reference.run_darknet import FOUND
from tests.zoo.zoo_heads import outputs
from tests.zoo.zoo_run import assert_same
from worker.frame import Placement
from worker.output import Output
from worker.select import select
from zoo import names
from zoo.network import Hierarchy

RECORD: dict[str, Any] = json.loads(Path(__file__).with_name("heads.json").read_text())
LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
DATA = Path("/usr/share/darknet/data")

installed = pytest.mark.skipif(
    not (LIBRARY.is_file() and (DATA / "9k.tree").is_file()),
    reason="the original darknet (Debian's package darknet) is not installed",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Gone after each test: weights take up to 250 MB, and pytest keeps the folders of three runs."""
    with TemporaryDirectory() as made:
        yield Path(made)


def converted(name: str, folder: Path, hierarchy: Hierarchy | None = None) -> dict[str, np.ndarray]:
    """What our ONNX says of a network's frame, without the axis of frames, by output."""
    cfg = networks.text(name)
    if not (folder / "weights").exists():
        networks.write_weights(folder / "weights", cfg)
    found = outputs(cfg, folder / "weights", networks.frame(cfg), hierarchy, as_written=name not in networks.HEADS)
    return {key: value[0] for key, value in found.items()}


def same(boxes: np.ndarray, scores: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Boxes and scores of the reference against ours."""
    assert_same((found["boxes"][None], found["scores"][None]), (boxes.astype(np.float32)[None], scores[None]))


@pytest.mark.parametrize("name", [name for name in RECORD if "labels" not in RECORD[name]])
def test_network_is_as_darknet_recorded_it(name: str, folder: Path) -> None:
    said = RECORD[name]
    found = converted(name, folder)
    at = np.ix_(said["rows"], said["classes"])
    assert np.ptp(said["scores"]) > 0.2, "the random network must say something"
    ours = {"boxes": found["boxes"][said["rows"]], "scores": found["scores"][at]}
    same(np.array(said["boxes"]), np.array(said["scores"]), ours)


def test_every_network_is_recorded() -> None:
    assert {name: said["fork"] for name, said in RECORD.items()} == networks.FORKS


@pytest.mark.parametrize("hier", networks.HIERARCHY)
def test_labels_of_a_tree_are_as_darknet_recorded_them(hier: float, folder: Path) -> None:
    said = RECORD["region tree"]
    tree = names.tree(networks.write_tree(folder / "little.tree"))
    found = converted("region tree", folder, Hierarchy(tree, hier))
    assert found["labels"].dtype == np.int64
    assert found["labels"].tolist() == said["labels"][str(hier)]
    same(np.array(said["boxes"]), np.array(said["scores"]), found)


def test_mapped_classes_of_a_tree_are_as_darknet_recorded_them(folder: Path) -> None:
    said = RECORD["region tree"]
    tree = names.tree(networks.write_tree(folder / "little.tree"))
    found = converted("region tree", folder, Hierarchy(tree, mapped=networks.MAPPED))
    assert np.max(said["mapped"]) > 0.2
    same(np.array(said["boxes"]), np.array(said["mapped"]), found)


def test_the_worker_finds_in_a_tree_what_darknet_finds(folder: Path) -> None:
    """Thresholds, labels and suppression together; darknet's boxes are cut to the picture, as the worker's are."""
    threshold, hier, overlap = FOUND
    tree = names.tree(networks.write_tree(folder / "little.tree"))
    manifest = Manifest(
        name="tree",
        version="1",
        sha256="0" * 64,
        labels=tuple(f"{index}" for index in range(len(tree))),
        frame=Frame(width=64, height=48),
        single_label=True,
        origin=Origin(source="reference", licence="none"),
    )
    found = converted("region tree", folder, Hierarchy(tree, hier))
    output = Output(found["boxes"], found["scores"], found["labels"])
    ours = select(output, Options(threshold=threshold, iou=overlap), manifest, Placement(1000, 1000))
    wanted = sorted(RECORD["region tree"]["found"], key=lambda row: -row[1])
    assert [one.class_id for one in ours] == [int(row[0]) for row in wanted]
    np.testing.assert_allclose([one.confidence for one in ours], [row[1] for row in wanted], atol=1e-4)
    corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (one.box for one in ours)]
    np.testing.assert_allclose(corners, 1000 * np.clip([row[2:] for row in wanted], 0, 1), atol=0.05)


def test_the_recorded_walks_say_something() -> None:
    """Each threshold ends the walks elsewhere, and some go down nine levels."""
    labels = RECORD["region tree"]["labels"]
    assert len({tuple(walk) for walk in labels.values()}) == len(networks.HIERARCHY)
    tree = names.Tree(("",) * len(networks.TREE), networks.TREE)
    assert max(len(tree.path(label)) for label in labels["0.0"]) >= 9
    assert min(len(set(walk)) for walk in labels.values()) >= 5


@installed
@pytest.mark.parametrize("name", [name for name, fork in networks.FORKS.items() if fork == "original"])
def test_the_record_is_what_darknet_says(name: str, folder: Path) -> None:
    said, live = RECORD[name], darknet("original", LIBRARY, name, folder)
    scores = live["scores"][np.ix_(said["rows"], said["classes"])] if "scores" in live else live["hier 0.0"].max(axis=1)
    same(np.array(said["boxes"]), np.array(said["scores"]), {"boxes": live["boxes"][said["rows"]], "scores": scores})
    for hier in said.get("labels", {}):
        assert live[f"hier {hier}"].argmax(axis=1).tolist() == said["labels"][hier]
    if "found" in said:
        np.testing.assert_allclose(live["found"], said["found"], atol=1e-5, rtol=1e-5)


@installed
@pytest.mark.parametrize("name", ["yolov2-tiny", "yolov3-tiny"])
def test_whole_network_is_what_darknet_says(name: str, folder: Path) -> None:
    live = darknet("original", LIBRARY, name, folder)
    same(live["boxes"], live["scores"], converted(name, folder))


@installed
def test_yolo9000_is_what_darknet_says(folder: Path) -> None:
    """The whole network, and its labels in the tree of 9,418 classes."""
    live = darknet("original", LIBRARY, "yolo9000", folder, DATA / "9k.tree")
    hierarchy = Hierarchy(names.tree(DATA / "9k.tree"), 0.3)
    found = converted("yolo9000", folder, hierarchy)
    labels = live["hier 0.3"].argmax(axis=1)
    assert found["labels"].tolist() == labels.tolist()
    assert len(set(labels)) > 10
    same(live["boxes"], live["hier 0.3"].max(axis=1), found)

"""Files of the user -> a version in the repository: every way to say what they are; nothing stays of what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared import manifest
from shared.manifest import Frame
from tests.zoo.zoo_random import layer_values, write_weights
from zoo import darknet, intake
from zoo.errors import ZooError
from zoo.intake import DarknetFiles, Wishes, import_darknet
from zoo.topologies import TOPOLOGIES

CFG = """[net]\nwidth=32\nheight=64\n[convolutional]\nfilters=7\nactivation=linear
[yolo]\nclasses=2\nanchors=3,4\n"""
TREE_CFG = """[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=9\nactivation=linear
[region]\nanchors=1,1\nnum=1\nclasses=4\ncoords=4\nsoftmax=1\ntree=data/four.tree\n"""


@pytest.fixture
def files(tmp_path: Path) -> DarknetFiles:
    """A network of two classes, as darknet's distribution lays it out."""
    for folder in ("cfg", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cfg/two.cfg").write_text(CFG)
    (tmp_path / "cfg/two.data").write_text("classes = 2\nnames = data/two.names\n")
    (tmp_path / "data/two.names").write_text("left\nright\n")
    weights = write_weights(tmp_path / "two.weights", layer_values(CFG))
    return DarknetFiles(weights, cfg=tmp_path / "cfg/two.cfg", data=tmp_path / "cfg/two.data")


def test_a_cfg_with_its_data_file(files: DarknetFiles, tmp_path: Path) -> None:
    made = import_darknet(tmp_path / "models", "two", files, Wishes(licence="mine"))
    found, path = manifest.read(tmp_path / "models", "two")
    assert found == made
    assert made.labels == ("left", "right")
    assert made.frame == Frame(width=32, height=64)
    assert (made.family, made.resize, made.single_label, made.origin.licence) == ("darknet", "stretch", False, "mine")
    assert path.read_bytes() == darknet.convert(CFG, files.weights).model.SerializeToString(deterministic=True)
    assert set(made.origin.files) == {"two.cfg", "two.data", "two.names", "two.weights"}
    assert str(tmp_path) not in made.model_dump_json(), "folders of this machine are nobody's business"


def test_wishes_come_before_what_the_files_say(files: DarknetFiles, tmp_path: Path) -> None:
    (tmp_path / "mine.names").write_text("a\nb\n\n")
    wishes = Wishes(tmp_path / "mine.names", Frame(width=64, height=32), "letterbox", threshold=0.4, iou=0.6)
    made = import_darknet(tmp_path / "models", "two", files, wishes)
    assert made.labels == ("a", "b")
    assert made.frame == Frame(width=64, height=32)
    assert (made.resize, made.defaults.threshold, made.defaults.iou) == ("letterbox", 0.4, 0.6)
    assert import_darknet(tmp_path / "models", "two", files, Wishes()).version == "2"


def test_a_topology_needs_no_cfg(tmp_path: Path) -> None:
    text = TOPOLOGIES["yolov2-tiny-voc"]()
    weights = write_weights(tmp_path / "v.weights", layer_values(text))
    names = Path(intake.__file__).parent / "labels/voc.names"
    made = import_darknet(tmp_path / "models", "voc", DarknetFiles(weights, topology="yolov2-tiny-voc"), Wishes(names))
    assert (len(made.labels), made.labels[0]) == (20, "aeroplane")
    assert made.origin.source == "imported: topology yolov2-tiny-voc, v.weights, voc.names"


def test_a_label_tree_is_found_beside_the_cfg_or_given(tmp_path: Path) -> None:
    (tmp_path / "four.cfg").write_text(TREE_CFG)
    (tmp_path / "four.names").write_text("thing\nanimal\ncat\ndog\n")
    weights = write_weights(tmp_path / "four.weights", layer_values(TREE_CFG))
    wishes = Wishes(tmp_path / "four.names")
    plain = DarknetFiles(weights, cfg=tmp_path / "four.cfg")
    with pytest.raises(ZooError, match=r"four\.cfg names the file data/four\.tree, which is not there"):
        import_darknet(tmp_path / "models", "four", plain, wishes)
    (tmp_path / "elsewhere.tree").write_text("t -1\na -1\nc 1\nd 1\n")
    given = import_darknet(
        tmp_path / "models",
        "four",
        DarknetFiles(weights, cfg=tmp_path / "four.cfg", tree=tmp_path / "elsewhere.tree"),
        wishes,
    )
    assert given.single_label
    (tmp_path / "elsewhere.tree").rename(tmp_path / "four.tree")
    assert import_darknet(tmp_path / "models", "four", plain, wishes).sha256 == given.sha256

    (tmp_path / "pets.map").write_text("3\n2\n")
    mapped = replace(plain, mapping=tmp_path / "pets.map")
    pets = import_darknet(tmp_path / "models", "pets", mapped, wishes)
    assert (pets.labels, pets.single_label) == (("dog", "cat"), False)
    (tmp_path / "pets.names").write_text("hund\nkatze\n")
    assert import_darknet(tmp_path / "models", "pets", mapped, Wishes(tmp_path / "pets.names")).labels == (
        "hund",
        "katze",
    )


def test_what_is_wrong_is_said_and_nothing_stays(files: DarknetFiles, tmp_path: Path) -> None:
    (tmp_path / "one.names").write_text("a\n")
    none = tmp_path / "none"
    for wrong, wishes, reason in (
        (DarknetFiles(files.weights, files.cfg), Wishes(), "has 2 classes; say what they are called"),
        (
            DarknetFiles(files.weights, files.cfg),
            Wishes(tmp_path / "one.names"),
            "has 1 labels, the network has 2 classes",
        ),
        (DarknetFiles(files.weights, none), Wishes(), "none cannot be read"),
        (DarknetFiles(none, files.cfg, data=files.data), Wishes(), "none cannot be read"),
        (DarknetFiles(files.weights), Wishes(), "either a cfg file or the name of a topology"),
        (DarknetFiles(files.weights, topology="yolov99"), Wishes(), "no topology 'yolov99'; there are .*yolov4"),
        (DarknetFiles(files.weights, files.weights), Wishes(), "cfg"),
    ):
        with pytest.raises(ZooError, match=reason):
            import_darknet(tmp_path / "models", "two", wrong, wishes)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("text", "width", "height"), [("416", 416, 416), ("640x480", 640, 480), ("1X8192", 1, 8192)])
def test_frames(text: str, width: int, height: int) -> None:
    assert intake.frame(text) == Frame(width=width, height=height)


@pytest.mark.parametrize("text", ["", "0", "8193", "640x", "640x0", "-1", "640*480", "6.4", "640x480x3"])
def test_what_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(ZooError, match="is no frame"):
        intake.frame(text)

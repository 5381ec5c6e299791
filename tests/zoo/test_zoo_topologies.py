"""Topologies are those of the darknet distribution and of what is published; whole networks equal OpenCV's.

Against darknet itself, YOLOv4 and YOLO9000: `tests/reference/test_heads.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reference import networks
from tests.zoo.zoo_heads import outputs
from tests.zoo.zoo_random import sections
from tests.zoo.zoo_run import assert_same, opencv_outputs
from zoo import cfg
from zoo.cfg import Section
from zoo.topologies import TOPOLOGIES

DISTRIBUTED = Path("/usr/share/darknet/cfg")
TRAINING_ONLY = {
    "jitter", "ignore_thresh", "truth_thresh", "thresh", "random", "rescore", "bias_match", "absolute", "map",
    "object_scale", "noobject_scale", "class_scale", "coord_scale",
}  # fmt: skip

FACTS = {
    # Layers, frame, filters of the convolutions before the heads, layers of the heads, published weights in bytes.
    "yolov2": (32, 608, [425], [31], 203_934_260),
    "yolov2-voc": (32, 416, [125], [31], None),
    "yolov2-tiny": (16, 416, [425], [15], 44_948_600),
    "yolov2-tiny-voc": (16, 416, [125], [15], None),
    "yolo9000": (25, 544, [28269], [24], 195_230_020),
    "yolov3-tiny": (24, 416, [255] * 2, [16, 23], 35_434_956),
    "yolov3": (107, 416, [255] * 3, [82, 94, 106], 248_007_048),
    "yolov3-voc": (107, 416, [75] * 3, [82, 94, 106], None),
    "yolov3-spp": (114, 608, [255] * 3, [89, 101, 113], 252_209_544),
    "yolov3-openimages": (107, 608, [1818] * 3, [82, 94, 106], None),
    "yolov4": (162, 608, [255] * 3, [139, 150, 161], 257_717_640),
    "yolov4-tiny": (38, 416, [255] * 2, [30, 37], 24_251_276),
    "yolov4-csp": (175, 512, [255] * 3, [144, 159, 174], None),
}


def options(section: Section) -> dict[str, str]:
    """What counts in inference; of a path only the file's name."""
    kept = {key: value for key, value in section.options.items() if key not in TRAINING_ONLY}
    return {key: value.rpartition("/")[2] for key, value in kept.items()}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_is_the_distributed_one(name: str) -> None:
    if not DISTRIBUTED.is_dir():
        pytest.skip("Debian's package darknet is not installed")
    path = DISTRIBUTED / f"{name}.cfg"
    if not path.is_file():
        pytest.skip("the original darknet has no such network")
    _, *ours = cfg.parse(TOPOLOGIES[name]())
    _, *theirs = cfg.parse(path.read_text())
    assert [(section.kind, section.options) for section in ours] == [
        (section.kind, options(section) | ({"tree": "data/9k.tree"} if "tree" in section.options else {}))
        for section in theirs
    ]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_has_the_published_shape(name: str) -> None:
    layers, frame, filters, heads, _ = FACTS[name]
    net, *found = sections(TOPOLOGIES[name]())
    assert (net[1]["width"], net[1]["height"]) == (str(frame), str(frame))
    assert len(found) == layers
    assert [at for at, (kind, _) in enumerate(found) if kind in ("yolo", "region")] == heads
    assert [int(found[at - 1][1]["filters"]) for at in heads] == filters
    for at in heads:
        said = found[at][1]
        anchors = len(said["mask"].split(",")) if "mask" in said else int(said["num"])
        assert int(found[at - 1][1]["filters"]) == anchors * (5 + int(said["classes"]))


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts[-1]])
def test_topology_has_as_many_values_as_the_published_weights(name: str) -> None:
    size = FACTS[name][-1]
    assert size is not None
    assert size - 4 * values(TOPOLOGIES[name]()) in (16, 20), "what is left must be the header"


def values(text: str) -> int:
    """Values in the weights file of a cfg of convolutions, routes and reorganisations."""
    channels: list[int] = []
    total = 0
    for kind, said in sections(text)[1:]:
        before = channels[-1] if channels else 3
        if kind == "convolutional":
            filters, size = int(said["filters"]), int(said["size"])
            total += filters * (4 if "batch_normalize" in said else 1) + filters * before * size * size
            before = filters
        elif kind == "route":
            chosen = (channels[int(part)] for part in said["layers"].split(","))
            before = sum(chosen) // int(said.get("groups", 1))
        elif kind == "reorg":
            before *= int(said["stride"]) ** 2
        channels.append(before)
    return total


@pytest.mark.parametrize("name", ["yolov2", "yolov3", "yolov3-spp", "yolov3-openimages", "yolov4-tiny"])
def test_whole_network_equals_opencv(name: str, tmp_path: Path) -> None:
    text = networks.whole(name)
    weights = networks.write_weights(tmp_path / "w.weights", text)
    images = networks.frame(text)
    found = outputs(text, weights, images, as_written=True)
    boxes, scores = opencv_outputs(text, weights, images)
    if "[region]" in text:
        suppressed = scores == 0  # by OpenCV's layer itself, at an overlap of 0.4
        assert suppressed.mean() < 0.5
        scores = np.where(suppressed, found["scores"], scores)
    assert np.ptp(scores) > 0.2, "the random network must say something"
    assert_same((found["boxes"], found["scores"]), (boxes, scores))
    weights.unlink()  # up to 260 MB, and pytest keeps the folders of three runs

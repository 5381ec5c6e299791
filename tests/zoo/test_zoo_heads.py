"""What heads refuse, and what holds for each: frames in a batch do not mix, another frame scales the anchors.

Their numbers: `tests/reference/test_heads.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.manifest import Frame
from tests.reference import networks
from tests.zoo.zoo_heads import outputs
from tests.zoo.zoo_random import resized
from tests.zoo.zoo_run import assert_same, pictures
from zoo import darknet
from zoo.errors import CfgError
from zoo.heads import HEADS
from zoo.names import Tree
from zoo.network import Hierarchy

TREE = Hierarchy(Tree(("",) * len(networks.TREE), networks.TREE))


def hierarchy(text: str) -> Hierarchy | None:
    return TREE if "tree=" in text else None


@pytest.mark.parametrize("name", networks.HEADS)
def test_frames_of_a_batch_do_not_mix(name: str, tmp_path: Path) -> None:
    text = networks.HEADS[name]
    weights = networks.write_weights(tmp_path / "w.weights", text)
    images = pictures(3, 64, 48)
    together = outputs(text, weights, images, hierarchy(text))
    for at in range(3):
        alone = outputs(text, weights, images[at : at + 1], hierarchy(text))
        for output, values in alone.items():
            np.testing.assert_allclose(together[output][at], values[0], rtol=1e-5, atol=1e-6)
    assert not np.array_equal(together["scores"][0], together["scores"][1])


@pytest.mark.parametrize("name", networks.HEADS)
def test_another_frame_is_the_same_as_in_the_cfg(name: str, tmp_path: Path) -> None:
    text = networks.HEADS[name]
    weights = networks.write_weights(tmp_path / "w.weights", text)
    asked = darknet.convert(text, weights, hierarchy=hierarchy(text), frame=Frame(width=96, height=32))
    assert asked.model == darknet.convert(resized(text, 96, 32), weights, hierarchy=hierarchy(text)).model
    assert asked.frame == Frame(width=96, height=32)


def test_anchors_of_yolo_are_pixels_and_those_of_region_are_cells(tmp_path: Path) -> None:
    """With everything else at zero a box is its anchor, at the middle of its cell."""
    for head, wide in (("[yolo]\nclasses=1\nanchors=16,8", 16 / 64), ("[region]\nclasses=1\nanchors=2,1", 2 / 2)):
        text = (
            f"[net]\nwidth=64\nheight=32\n[convolutional]\nfilters=6\nsize=32\nstride=32\nactivation=linear\n{head}\n"
        )
        (tmp_path / "w.weights").write_bytes(bytes(16 + 4 * (6 + 6 * 3 * 32 * 32)))
        found = outputs(text, tmp_path / "w.weights", pictures(1, 64, 32))
        boxes = np.array([[0.25 - wide / 2, 0.5 - 0.25 / 2, 0.25 + wide / 2, 0.5 + 0.25 / 2]] * 2)
        boxes[1, [0, 2]] += 0.5
        if "region" in head:
            boxes[:, [1, 3]] = [0, 1]
        np.testing.assert_allclose(found["boxes"][0], boxes, atol=1e-6)
        np.testing.assert_allclose(found["scores"][0], 0.25, atol=1e-6)


def test_what_a_cfg_says_of_letterboxing_is_told(tmp_path: Path) -> None:
    text = networks.HEADS["region softmax"]
    weights = networks.write_weights(tmp_path / "w.weights", text)
    assert darknet.convert(text, weights).resize == "stretch"
    assert darknet.convert(text.replace("channels=3", "channels=3\nletter_box=1"), weights).resize == "letterbox"


def test_options_of_training_change_nothing(tmp_path: Path) -> None:
    for name, said in (
        ("region softmax", "bias_match=1\njitter=.2\nrescore=1\nthresh=.6\nabsolute=1\nrandom=1\nmap=data/x.map\n"),
        ("yolo new_coords", "iou_loss=ciou\nmax_delta=2\nobjectness_smooth=1\nresize=1.5\ntruth_thresh=1\n"),
    ):
        text = networks.HEADS[name]
        weights = networks.write_weights(tmp_path / "w.weights", text)
        assert darknet.convert(text + said, weights).model == darknet.convert(text, weights).model


def test_every_head_is_run_by_these_tests() -> None:
    kinds = {text.rpartition("[")[2].partition("]")[0].lower() for text in networks.HEADS.values()}
    assert kinds == set(HEADS)


def test_several_heads_stand_one_behind_the_other(tmp_path: Path) -> None:
    """A network with the same head twice says everything twice, in the order of the cfg."""
    text = networks.HEADS["yolo stretched"]
    weights = networks.write_weights(tmp_path / "w.weights", text)
    image = networks.frame(text)
    once = outputs(text, weights, image)
    head = text[text.index("[yolo]") :]
    twice = outputs(f"{text}[route]\nlayers=-2\n{head.replace('mask=0,2,3', 'mask=1,2,3')}", weights, image)
    rows = once["boxes"].shape[1]
    assert_same((twice["boxes"][:, :rows], twice["scores"][:, :rows]), (once["boxes"], once["scores"]))
    np.testing.assert_array_equal(twice["scores"][:, rows:], once["scores"])
    assert not np.allclose(twice["boxes"][:, rows::3], once["boxes"][:, ::3]), "another anchor"


BARE = "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=18\nactivation=linear\n"
REFUSED = {
    "[yolo]\nclasses=80\nanchors=1,2": r"needs 1 anchors x \(5 \+ 80 classes\) = 85 channels, .* has 18",
    "[yolo]\nclasses=4\nanchors=1,2\nnum=3": "num=3 needs 6 values in anchors, there are 2",
    "[yolo]\nclasses=4\nanchors=1,2,3\nnum=1": "num=1 needs 2 values in anchors, there are 3",
    "[yolo]\nclasses=4\nnum=2": "num=2 needs 4 values in anchors, there are 0",
    "[yolo]\nclasses=4\nanchors=1,2\nmask=1": "names an anchor outside 0..0",
    "[yolo]\nclasses=13\nanchors=1,2\nnew_coords=2": "outside 0..1",
    "[gaussian_yolo]\nclasses=4\nanchors=1,2": r"needs 1 anchors x \(9 \+ 4 classes\)",
    "[gaussian_yolo]\nclasses=9\nanchors=1,2\nyolo_point=middle": "yolo_point=middle is not supported",
    "[region]\nclasses=4\nanchors=1,2,3,4\nnum=2\ncoords=5": r"needs 2 anchors x \(6 \+ 4 classes\)",
    "[region]\nclasses=4\nanchors=1,2,3,4\nnum=2\ncoords=3": "coords=3 is outside",
    "[iseg]\nclasses=4": "is not a supported layer",
    "[yolo]\nclasses=13\nanchors=1,2\n[route]\nlayers=-1": "refers to layer -1, which is a detection head",
    "[yolo]\nclasses=13\nanchors=1,2\n[convolutional]\nfilters=7\n[yolo]\nclasses=2\nanchors=1,2": "different numbers",
}


@pytest.mark.parametrize("head", REFUSED)
def test_a_head_that_does_not_fit_is_refused(head: str, tmp_path: Path) -> None:
    (tmp_path / "w.weights").write_bytes(bytes(4000))
    with pytest.raises(CfgError, match=REFUSED[head]):
        darknet.convert(f"{BARE}{head}\n", tmp_path / "w.weights")


def test_heads_with_and_without_a_tree_do_not_go_together(tmp_path: Path) -> None:
    region = "[region]\nclasses=4\nanchors=1,2,3,4\nnum=2\nsoftmax=1\n"
    (tmp_path / "w.weights").write_bytes(bytes(16 + 4 * 18 * 4))
    tree = Hierarchy(Tree(("",) * 4, (-1, -1, 0, 0)))
    with pytest.raises(CfgError, match="One detection head has a label tree, another has none"):
        darknet.convert(
            f"{BARE}{region}tree=a.tree\n[route]\nlayers=0\n{region}", tmp_path / "w.weights", hierarchy=tree
        )

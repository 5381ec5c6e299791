"""A tree of classes in the graph against darknet's walk, for random trees; what is refused."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.manifest import Origin, Traits
from tests.zoo.zoo_heads import outputs, own, top
from tests.zoo.zoo_random import write_weights
from zoo import darknet, repository
from zoo.errors import CfgError
from zoo.names import Tree
from zoo.network import Hierarchy

DISTRIBUTED = Path("/usr/share/darknet/data/9k.tree")
ANCHORS = 2
SIDE = 3


def cfg(classes: int, head: str = "softmax=1 tree=a.tree") -> str:
    """A convolution that copies red, green and blue into what the head reads, times its weights."""
    filters = ANCHORS * (5 + classes)
    text = f"[net] width={SIDE} height={SIDE} [convolutional] filters={filters} activation=linear "
    return "\n".join(f"{text}[region] classes={classes} num={ANCHORS} anchors=1,2,3,4 {head}".split())


def tree(*parents: int) -> Tree:
    return Tree(tuple(f"n{index}" for index in range(len(parents))), parents)


def layer(classes: int, seed: int, loud: float = 4) -> list[dict[str, np.ndarray]]:
    """Values of that convolution."""
    rng = np.random.default_rng(seed)
    filters = ANCHORS * (5 + classes)
    made = {"bias": rng.normal(0, loud, filters), "kernel": rng.normal(0, loud, (filters, 3, 1, 1))}
    return [{name: values.astype(np.float32) for name, values in made.items()}, {}]


def logits(values: list[dict[str, np.ndarray]], images: np.ndarray) -> np.ndarray:
    """What the head reads of its classes: float64 (rows, classes), cell by cell, anchors together, frames in turn."""
    kernel, bias = values[0]["kernel"][:, :, 0, 0].astype(np.float64), values[0]["bias"].astype(np.float64)
    found = images.reshape(-1, 3) / 255 @ kernel.T + bias
    return np.asarray(found.reshape(-1, ANCHORS, len(bias) // ANCHORS)[:, :, 5:].reshape(-1, len(bias) // ANCHORS - 5))


@st.composite
def trees(draw: st.DrawFn) -> tuple[int, ...]:
    """Parents before children; runs of siblings of any size; a parent may have several runs, roots too."""
    parents = [-1] * draw(st.integers(1, 4))
    for _ in range(draw(st.integers(0, 12))):
        parents += [draw(st.integers(-1, len(parents) - 1))] * draw(st.integers(1, 5))
    return tuple(parents)


@settings(max_examples=60, deadline=None)
@given(parents=trees(), threshold=st.sampled_from([0, 0.05, 0.2, 0.5, 0.9]), seed=st.integers(0, 999), data=st.data())
def test_random_trees_are_walked_as_darknet_walks(
    parents: tuple[int, ...], threshold: float, seed: int, data: st.DataObject
) -> None:
    classes = len(parents)
    values = layer(classes, seed)
    images = np.random.default_rng(seed).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    wanted = own(logits(values, images), parents)
    mapped = tuple(data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=6)))
    with TemporaryDirectory() as folder:
        weights = write_weights(Path(folder) / "w.weights", values)
        walked = outputs(cfg(classes), weights, images, Hierarchy(tree(*parents), threshold))
        every = outputs(cfg(classes), weights, images, Hierarchy(tree(*parents), mapped=mapped))
    assert walked["labels"].shape == walked["scores"].shape == (2, SIDE * SIDE * ANCHORS)
    for label, row in zip(walked["labels"].reshape(-1), wanted, strict=True):
        expected, margin = top(row, parents, threshold)
        assert label == expected or margin < 1e-5, "a tie may fall either way"
    objectness = walked["scores"].reshape(-1, 1)
    np.testing.assert_allclose(
        every["scores"].reshape(-1, len(mapped)), wanted[:, mapped] * objectness, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_array_equal(every["boxes"], walked["boxes"])


def test_a_path_is_surer_than_its_classes() -> None:
    """The original multiplies own probabilities along the path: 0.9 and 0.8 together are not above 0.75."""
    parents = (-1, -1, 0, 0)
    row = np.array([0.9, 0.1, 0.8, 0.1])
    assert top(row, parents, 0.75)[0] == 0
    assert top(row, parents, 0.7)[0] == 2


def test_a_path_must_be_surer_than_the_threshold(tmp_path: Path) -> None:
    """Only children are certain, so a chain of them is as sure as can be: 1, which is not above 1."""
    weights = write_weights(tmp_path / "w.weights", layer(3, 0))
    images = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    for threshold, label in ((1.0, 0), (0.99, 2)):
        found = outputs(cfg(3), weights, images, Hierarchy(tree(-1, 0, 1), threshold))
        assert set(found["labels"].reshape(-1)) == {label}


def test_all_9418_classes_are_walked_as_darknet_walks(tmp_path: Path) -> None:
    if not DISTRIBUTED.is_file():
        pytest.skip("Debian's package darknet is not installed")
    parents = tuple(int(line.split()[1]) for line in DISTRIBUTED.read_text().splitlines())
    assert len(parents) == 9418
    values = layer(len(parents), 1, loud=1)
    below = np.zeros(len(parents))
    for index in reversed(range(len(parents))):
        if parents[index] >= 0:
            below[parents[index]] = max(below[parents[index]], below[index] + 1)
    # Deep branches are made likely, so that walks use every level.
    values[0]["bias"].reshape(ANCHORS, -1)[:, 5:] += (2 * below).astype(np.float32)
    images = np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    weights = write_weights(tmp_path / "w.weights", values)
    wanted = own(logits(values, images), parents)
    for threshold in (0, 0.01, 0.5):
        found = outputs(cfg(len(parents)), weights, images, Hierarchy(tree(*parents), threshold))["labels"][0]
        assert found.tolist() == [top(row, parents, threshold)[0] for row in wanted]
        if threshold == 0:
            assert max(len(tree(*parents).path(label)) for label in found) >= 14


def test_the_graph_has_few_nodes_and_fits_the_contract(tmp_path: Path) -> None:
    """A chain of 30 levels with 40 siblings each: nodes grow with the levels alone, and the repository takes it."""
    parents = [-1] * 40
    for level in range(29):
        parents += [40 * level + 7] * 40
    weights = write_weights(tmp_path / "w.weights", layer(len(parents), 0))
    converted = darknet.convert(cfg(len(parents)), weights, hierarchy=Hierarchy(tree(*parents)))
    assert len(converted.model.graph.node) < 30 * 22 + 40
    assert (converted.classes, converted.single_label) == (1200, True)
    traits = Traits(
        labels=tuple(map(str, range(1200))),
        frame=converted.frame,
        single_label=True,
        origin=Origin(source="test", licence="none"),
    )
    assert repository.install(tmp_path / "models", "tree", converted.model, traits).single_label
    mapped = darknet.convert(cfg(len(parents)), weights, hierarchy=Hierarchy(tree(*parents), mapped=(3, 1199)))
    assert (mapped.classes, mapped.single_label) == (2, False)
    onnx.checker.check_model(mapped.model, full_check=True)


REFUSED = {
    "softmax=1 tree=a.tree": (None, "needs the label tree a.tree, which was not given"),
    "softmax=1 tree=b.tree": (Hierarchy(tree(-1, -1)), "has 3 classes, the label tree has 2"),
    "softmax=1 tree=c.tree": (Hierarchy(tree(-1, -1, 0), mapped=(0, 3)), "has 3 classes, the map names class 3"),
    "softmax=1 tree=d.tree background=1": (Hierarchy(tree(-1, -1, 0)), "background=1 with a tree is not supported"),
    "softmax=1": (Hierarchy(tree(-1, -1, 0)), "no .region. with tree="),
}


@pytest.mark.parametrize("head", REFUSED)
def test_a_tree_that_does_not_fit_is_refused(head: str, tmp_path: Path) -> None:
    hierarchy, reason = REFUSED[head]
    weights = write_weights(tmp_path / "w.weights", layer(3, 0))
    with pytest.raises(CfgError, match=reason):
        darknet.convert(cfg(3, head), weights, hierarchy=hierarchy)

"""A tree of classes (YOLO9000) in the graph: from the entries of a `[region]` to one class a box, or to mapped classes.

Each group of siblings has a softmax of its own: the probability of a class, given its parent. Its product along the
path from the root is the class's own probability. A box gets the class at which a walk down the tree ends, with its
objectness as the score; or, with a map, the mapped classes' own probabilities times its objectness. All of it is a few
nodes for each level of the tree, not for each class: rows walk down together, and look at one group a level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.cfg import Section
from zoo.heads import anchors
from zoo.names import Tree
from zoo.network import Hierarchy, Network

Ints = NDArray[np.int64]

_OUTSIDE = -1e30
"""A logit that gets no part of a softmax."""


def finish(
    net: Network, section: Section, corners: str, objectness: str, entries: str, first: int, count: int, classes: int
) -> None:
    """Add the head of a `[region]` with `tree=` to the network.

    Args:
        corners, objectness: (N, cells, `count`, 4 and 1).
        entries: (N, `count`, entries, cells), of which the classes begin at `first`, as logits.

    Raises:
        CfgError: no tree was given or it does not fit the classes; a mapped class is not there; `background=1`.
    """
    hierarchy = net.hierarchy
    if hierarchy is None:
        raise section.error(f"needs the label tree {section.options['tree']}, which was not given")
    if len(hierarchy.tree) != classes:
        raise section.error(f"has {classes} classes, the label tree has {len(hierarchy.tree)}")
    if section.number("background", 0):
        raise section.error("background=1 with a tree is not supported")
    if not hierarchy.mapped:
        labels = anchors.by_row(net.graph, _deepest(net, hierarchy, entries, first))
        anchors.finish(net, corners, objectness, count, classes, labels)
        return
    if max(hierarchy.mapped) >= classes:
        raise section.error(f"has {classes} classes, the map names class {max(hierarchy.mapped)}")
    probability = anchors.by_row(net.graph, _own(net, hierarchy, entries, first))
    scores = net.graph.add("Mul", probability, objectness)
    anchors.finish(net, corners, scores, count, len(hierarchy.mapped))


def _deepest(net: Network, hierarchy: Hierarchy, entries: str, first: int) -> str:
    """The class at which the walk down the tree ends: int64 (N, K, 1, cells).

    As `hierarchy_top_prediction` of the original darknet: in each group take the strongest class, and go on to its
    children while `sure` is above the threshold. `sure` is the product of the own probabilities of all classes on the
    path, each of which is itself a product along the path: so it falls faster than the class's probability. That is
    what darknet computes, and what its threshold of 0.5 means. A leaf ends the walk; so does a group that is not sure,
    which leaves its parent; the first group always gives a class.

    AlexeyAB's fork (`get_region_boxes`) walks otherwise: the last class whose own probability is above 0.5, with that
    probability as the score. YOLO9000 was made and measured with the original.
    """
    graph, tree = net.graph, hierarchy.tree
    levels = _levels(tree)
    widest = max(levels)
    # Rows whose walk is over go on with any group, so no lookup may leave its table.
    children = graph.constant(np.append(tree.children, np.full(widest, -1)))
    offsets, sizes = graph.constant(tree.offsets + first), graph.constant(tree.sizes)
    threshold, none = graph.reals(hierarchy.threshold), graph.constant(np.array(0, np.int64))
    lengths = anchors.cut(graph, entries, first, first + levels[0])
    best, label = _strongest(net, lengths)
    own = sure = best
    group = graph.add("Gather", children, label)
    going = graph.add("Greater", sure, threshold)
    for widest in levels[1:]:
        going = graph.add("And", going, graph.add("GreaterOrEqual", group, none))
        group = graph.add("Max", group, none)
        begin, size = graph.add("Gather", offsets, group), graph.add("Gather", sizes, group)
        place = graph.constant(np.arange(widest).reshape(1, 1, -1, 1))
        inside = graph.add("Less", place, size)
        place = graph.add(
            "Add", begin, graph.add("Min", place, graph.add("Sub", size, graph.constant(np.array(1, np.int64))))
        )
        members = graph.add("GatherElements", entries, place, axis=2)
        best, at = _strongest(net, graph.add("Where", inside, members, graph.reals(_OUTSIDE)))
        own = graph.add("Mul", own, best)
        sure = graph.add("Mul", sure, own)
        going = graph.add("And", going, graph.add("Greater", sure, threshold))
        at = graph.add("Add", at, graph.add("Sub", begin, graph.constant(np.array(first, np.int64))))
        label = graph.add("Where", going, at, label)
        group = graph.add("Gather", children, at)
    return label


def _levels(tree: Tree) -> list[int]:
    """The largest group on each level that a walk from the first group can reach."""
    found: list[int] = []
    reached = [0]
    while reached:
        found.append(max(int(tree.sizes[group]) for group in reached))
        members = (range(tree.offsets[group], tree.offsets[group] + tree.sizes[group]) for group in reached)
        reached = [int(tree.children[index]) for group in members for index in group if tree.children[index] >= 0]
    return found


def _strongest(net: Network, logits: str) -> tuple[str, str]:
    """Of one group (N, K, members, cells): the highest probability, and the place of the first that has it."""
    probability = net.graph.add("Softmax", logits, axis=2)
    best = net.graph.add("ReduceMax", probability, axes=[2], keepdims=1)
    return best, net.graph.add("ArgMax", probability, axis=2, keepdims=1)


def _own(net: Network, hierarchy: Hierarchy, entries: str, first: int) -> str:
    """The probability of each mapped class: float32 (N, K, M, cells). From the root down, as darknet multiplies."""
    graph, tree = net.graph, hierarchy.tree
    paths = [tree.path(index) for index in hierarchy.mapped]
    needed = sorted({int(tree.groups[index]) for path in paths for index in path})
    places: dict[int, int] = {}
    parts: list[str] = []
    total = 0
    for width in sorted({_padded(tree, group) for group in needed}):
        groups = [group for group in needed if _padded(tree, group) == width]
        parts.append(_given_parent(net, tree, entries, first, groups, width))
        for group in groups:
            places |= {int(tree.offsets[group]) + member: total + member for member in range(tree.sizes[group])}
            total += width
    given = graph.add("Concat", *parts, axis=2)
    product = ""
    for depth in range(max(map(len, paths))):
        there = np.array([depth < len(path) for path in paths])
        at = np.array([places[path[min(depth, len(path) - 1)]] for path in paths])
        value = graph.add("Gather", given, graph.constant(at), axis=2)
        if not there.all():
            value = graph.add("Where", graph.constant(there.reshape(1, 1, -1, 1)), value, graph.reals(1))
        product = graph.add("Mul", product, value) if product else value
    return product


def _padded(tree: Tree, group: int) -> int:
    """A group's size, rounded up to a power of two, so that groups of like size share their nodes."""
    return 1 << (int(tree.sizes[group]) - 1).bit_length()


def _given_parent(net: Network, tree: Tree, entries: str, first: int, groups: list[int], width: int) -> str:
    """Softmax of each group, padded to `width`: float32 (N, K, groups * width, cells)."""
    graph = net.graph
    members = np.arange(width)
    size, offset = tree.sizes[groups][:, None], tree.offsets[groups][:, None]
    index = (first + offset + np.minimum(members, size - 1)).reshape(-1)
    value = graph.add("Gather", entries, graph.constant(index), axis=2)
    cells = net.current.height * net.current.width
    value = graph.add("Reshape", value, graph.integers(0, 0, len(groups), width, cells))
    padding = np.where(members < size, 0, _OUTSIDE).reshape(1, 1, len(groups), width, 1)
    value = graph.add("Softmax", graph.add("Add", value, graph.reals(padding)), axis=3)
    return graph.add("Reshape", value, graph.integers(0, 0, -1, cells))

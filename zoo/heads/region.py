"""`[region]`: the head of YOLOv2 and, with a tree of classes, of YOLO9000 -> boxes and scores, or boxes and labels."""

from __future__ import annotations

from zoo.cfg import Section
from zoo.heads import anchors, hierarchy
from zoo.network import Network


def region(net: Network, section: Section) -> None:
    """YOLOv2 head (darknet `region_layer.c`, `get_region_detections`): anchors in cells, one softmax over the classes.

    Scores are objectness times class probability, float32 (N, rows, classes). Without `softmax=1` each class has a
    sigmoid of its own. With `background=1` the entry before the classes takes part in the softmax and there is no
    objectness. Entries of `coords` after the fourth are masks: not read. With `tree=` the classes are those of the
    network's `hierarchy`: see `zoo.heads.hierarchy`.

    The two darknets differ; this is the original, which made YOLOv2 and YOLO9000. AlexeyAB's has no `background` and
    only `coords=4`, leaves classes without softmax as they are, and alone reads `classfix=-1` (boxes of an objectness
    under 0.5 count 0), which is done here too.

    Raises:
        CfgError: anchors, classes, tree and the layer before do not fit together.
    """
    graph, source = net.graph, net.current
    classes = section.number("classes", 20, low=1)
    coords = section.number("coords", 4, low=4, high=1024)
    boxes = anchors.chosen(section)
    entries = anchors.planes(net, section, len(boxes), coords + 1, classes)
    if "tree" in section.options:
        # One copy of all 9,418 classes would be the most expensive step: they stay where they are.
        cuts = ((0, 2), (2, 4), (coords, coords + 1))
        centre, size, objectness = (anchors.by_row(graph, anchors.cut(graph, entries, *edges)) for edges in cuts)
        probability = ""
    else:
        widths = (2, 2, *[coords - 4] * (coords > 4), 1, classes)
        centre, size, *_, objectness, probability = graph.split(anchors.by_row(graph, entries), widths, axis=3)
    relative = boxes / (source.width, source.height)
    corners = anchors.corners(graph, source, graph.add("Sigmoid", centre), graph.add("Exp", size), relative)
    if not probability:
        objectness = _objectness(net, section, objectness)
        hierarchy.finish(net, section, corners, objectness, entries, coords + 1, len(boxes), classes)
        return
    if section.number("background", 0):
        every = graph.add("Softmax", graph.add("Concat", objectness, probability, axis=3), axis=3)
        _, scores = graph.split(every, (1, classes), axis=3)
    else:
        softmax = section.number("softmax", 0)
        probability = graph.add("Softmax", probability, axis=3) if softmax else graph.add("Sigmoid", probability)
        scores = graph.add("Mul", probability, _objectness(net, section, objectness))
    anchors.finish(net, corners, scores, len(boxes), classes)


def _objectness(net: Network, section: Section, value: str) -> str:
    """(N, cells, K, 1), 0..1."""
    graph = net.graph
    value = graph.add("Sigmoid", value)
    if section.word("classfix", "0") != "-1":
        return value
    return graph.add("Where", graph.add("Less", value, graph.reals(0.5)), graph.reals(0), value)

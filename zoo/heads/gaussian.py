"""`[Gaussian_yolo]`: YOLOv3 with a measure of its own doubt for every side -> boxes and scores."""

from __future__ import annotations

from zoo.cfg import Section
from zoo.heads import anchors
from zoo.network import Network

POINTS = {"center": 0.5, "left_top": 0.0, "right_bottom": 1.0}
"""`yolo_point`: which point of the box the head places in its cell, as a part of the box."""


def gaussian_yolo(net: Network, section: Section) -> None:
    """Gaussian YOLOv3 head (Choi et al. 2019; AlexeyAB's `gaussian_yolo_layer.c`).

    A row is x, y, width and height, each as mean and deviation, then objectness and classes. A score is objectness
    times class probability times 1 - the mean of the four deviations; float32 (N, rows, classes).

    Raises:
        CfgError: anchors, mask, classes and the layer before do not fit together; `yolo_point` is unknown.
    """
    graph, source = net.graph, net.current
    classes = section.number("classes", 20, low=1)
    boxes = anchors.chosen(section)
    named = section.word("yolo_point", "center")
    if named not in POINTS:
        raise section.error(f"yolo_point={named} is not supported; supported are {', '.join(POINTS)}")
    row = anchors.by_row(graph, anchors.planes(net, section, len(boxes), 9, classes))
    x, dx, y, dy, w, dw, h, dh, objectness, probability = graph.split(row, (*[1] * 9, classes), axis=3)
    centre = graph.add("Sigmoid", graph.add("Concat", x, y, axis=3))
    centre = anchors.stretched(graph, centre, section.real("scale_x_y", 1.0))
    size = graph.add("Exp", graph.add("Concat", w, h, axis=3))
    corners = anchors.corners(graph, source, centre, size, boxes / (net.width, net.height), point=POINTS[named])
    doubts = graph.add("Sigmoid", graph.add("Concat", dx, dy, dw, dh, axis=3))
    trust = graph.add("Sub", graph.reals(1), graph.add("ReduceMean", doubts, axes=[3], keepdims=1))
    scores = graph.add("Mul", graph.add("Sigmoid", probability), graph.add("Sigmoid", objectness))
    scores = graph.add("Mul", scores, trust)
    anchors.finish(net, corners, scores, len(boxes), classes)

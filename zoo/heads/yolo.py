"""`[yolo]`: the head of YOLOv3 and YOLOv4 -> boxes and scores."""

from __future__ import annotations

from zoo.cfg import Section
from zoo.heads import anchors
from zoo.network import Network


def yolo(net: Network, section: Section) -> None:
    """YOLOv3 head (darknet `yolo_layer.c`, `get_yolo_box`): sigmoid centres, exponential sizes, sigmoid scores.

    With `new_coords=1` (AlexeyAB, Scaled-YOLOv4) the layer before has put everything into 0..1 already
    (`activation=logistic`), and a side is (2 x)^2 of its anchor. `scale_x_y` stretches the centres around the middle of
    their cell. A score is objectness times class probability; float32 (N, rows, classes). What a cfg says of NMS
    (`nms_kind`, `beta_nms`) is not read: overlaps are the worker's matter.

    Raises:
        CfgError: anchors, mask, classes and the layer before do not fit together.
    """
    graph, source = net.graph, net.current
    classes = section.number("classes", 20, low=1)
    new = section.number("new_coords", 0, high=1)
    boxes = anchors.chosen(section)
    row = anchors.by_row(graph, anchors.planes(net, section, len(boxes), 5, classes))
    centre, size, objectness, probability = graph.split(row, (2, 2, 1, classes), axis=3)
    relative = boxes / (net.width, net.height)
    if new:
        size, relative = graph.add("Mul", size, size), 4 * relative
    else:
        centre, size = graph.add("Sigmoid", centre), graph.add("Exp", size)
        objectness, probability = graph.add("Sigmoid", objectness), graph.add("Sigmoid", probability)
    centre = anchors.stretched(graph, centre, section.real("scale_x_y", 1.0))
    corners = anchors.corners(graph, source, centre, size, relative)
    scores = graph.add("Mul", probability, objectness)
    anchors.finish(net, corners, scores, len(boxes), classes)

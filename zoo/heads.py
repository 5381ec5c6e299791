"""Darknet detection heads -> decoded boxes and scores inside the graph.

The rows stand in darknet's own order: cell by cell along the rows of the grid, the anchors of a cell together.
"""

from __future__ import annotations

import numpy as np

from zoo.cfg import Section
from zoo.network import Head, Network


def yolo(net: Network, section: Section) -> None:
    """YOLOv3 head (darknet `yolo_layer.c`, `get_yolo_box`): sigmoid centres, exponential sizes, sigmoid scores.

    A score is objectness times class probability. `scale_x_y` stretches the centres around their cell (AlexeyAB).
    Boxes may reach out of the frame; nothing is cut off here.

    Raises:
        CfgError: anchors, mask, classes and the layer before do not fit together.
    """
    source = net.current
    classes = section.number("classes", 20, low=1)
    anchors = _anchors(section)
    count, cells, row = len(anchors), source.height * source.width, 5 + classes
    if source.channels != count * row:
        raise section.error(
            f"needs {count} anchors x (5 + {classes} classes) = {count * row} channels, the layer before has "
            f"{source.channels}"
        )
    graph = net.graph
    value = graph.add("Reshape", source.name, graph.integers(0, count, row, cells))
    value = graph.add("Transpose", value, perm=[0, 3, 1, 2])
    centre, size, objectness, probability = graph.split(value, (2, 2, 1, classes), axis=3)

    stretch = section.real("scale_x_y", 1.0)
    grid = np.array([source.width, source.height], np.float64)
    cell = np.stack(np.meshgrid(np.arange(source.width), np.arange(source.height)), axis=-1).reshape(1, cells, 1, 2)
    centre = graph.add("Mul", graph.add("Sigmoid", centre), graph.reals(stretch / grid))
    centre = graph.add("Add", centre, graph.reals((cell - (stretch - 1) / 2) / grid))
    half = (anchors / np.array([net.width, net.height]) / 2).reshape(1, 1, count, 2)
    size = graph.add("Mul", graph.add("Exp", size), graph.reals(half))
    corners = graph.add("Concat", graph.add("Sub", centre, size), graph.add("Add", centre, size), axis=3)
    scores = graph.add("Mul", graph.add("Sigmoid", probability), graph.add("Sigmoid", objectness))

    rows = cells * count
    net.heads.append(
        Head(
            boxes=graph.add("Reshape", corners, graph.integers(0, rows, 4)),
            scores=graph.add("Reshape", scores, graph.integers(0, rows, classes)),
            rows=rows,
            classes=classes,
        )
    )


def _anchors(section: Section) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The anchors that `mask` chooses: float64 (K, 2), width and height in pixels of the network's input."""
    values = section.reals("anchors")
    total = section.number("num", 1, low=1, high=1024)
    if len(values) % 2 or len(values) < 2 * total:
        raise section.error(f"num={total} needs {2 * total} values in anchors, there are {len(values)}")
    mask = section.numbers("mask") or list(range(total))
    if not all(0 <= index < total for index in mask):
        raise section.error(f"mask={section.options['mask']} names an anchor outside 0..{total - 1}")
    return np.array(values, np.float64).reshape(-1, 2)[mask]

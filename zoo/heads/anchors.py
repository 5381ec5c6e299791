"""What all heads have in common: anchors from the cfg, corners from offsets, and rows from both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.cfg import Section
from zoo.graph import Graph, Tensor
from zoo.network import Head, Network

Reals = NDArray[np.float64]


def chosen(section: Section) -> Reals:
    """The anchors that `mask` chooses, all of them without it: float64 (K, 2), width and height as the cfg says them.

    Raises:
        CfgError: `anchors` has fewer than `num` pairs, or `mask` names one that is not there.
    """
    values = section.reals("anchors")
    total = section.number("num", 1, low=1, high=1024)
    if len(values) % 2 or len(values) < 2 * total:
        raise section.error(f"num={total} needs {2 * total} values in anchors, there are {len(values)}")
    mask = section.numbers("mask") or list(range(total))
    if not all(0 <= index < total for index in mask):
        raise section.error(f"mask={section.options['mask']} names an anchor outside 0..{total - 1}")
    return np.array(values, np.float64).reshape(-1, 2)[mask]


def planes(net: Network, section: Section, count: int, own: int, classes: int) -> str:
    """The layer before as (N, `count`, `own` + `classes`, cells); moves nothing.

    Raises:
        CfgError: it has another number of channels.
    """
    source, entries = net.current, own + classes
    if source.channels != count * entries:
        raise section.error(
            f"needs {count} anchors x ({own} + {classes} classes) = {count * entries} channels, the layer before has "
            f"{source.channels}"
        )
    return net.graph.add("Reshape", source.name, net.graph.integers(0, count, entries, source.height * source.width))


def cut(graph: Graph, value: str, begin: int, end: int) -> str:
    """Entries `begin`..`end` of (N, K, entries, cells)."""
    return graph.add("Slice", value, *(graph.integers(edge) for edge in (begin, end, 2)))


def by_row(graph: Graph, value: str) -> str:
    """(N, K, entries, cells) -> (N, cells, K, entries): the entries of one cell and anchor side by side."""
    return graph.add("Transpose", value, perm=[0, 3, 1, 2])


def corners(graph: Graph, grid: Tensor, centre: str, size: str, anchors: Reals, *, point: float = 0.5) -> str:
    """Boxes from offsets: x1 y1 x2 y2, 0..1 of the frame; float32 (N, cells, K, 4).

    Args:
        grid: the layer whose cells these are.
        centre: (N, cells, K, 2), x and y of the box's point inside its cell, in cells.
        size: (N, cells, K, 2), width and height in anchors.
        anchors: float64 (K, 2), 0..1 of the frame.
        point: where in the box that point lies: 0 left top, 0.5 centre, 1 right bottom.
    """
    cells = np.array([grid.width, grid.height], np.float64)
    columns, lines = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
    cell = np.stack([columns, lines], axis=-1).reshape(1, -1, 1, 2)
    centre = graph.add("Mul", graph.add("Add", centre, graph.reals(cell)), graph.reals(1 / cells))
    before = graph.add("Mul", size, graph.reals(anchors * point))
    after = graph.add("Mul", size, graph.reals(anchors * (1 - point))) if point != 0.5 else before
    return graph.add("Concat", graph.add("Sub", centre, before), graph.add("Add", centre, after), axis=3)


def stretched(graph: Graph, value: str, factor: float) -> str:
    """Offsets 0..1 stretched around the middle of their cell (`scale_x_y` of AlexeyAB's darknet)."""
    if factor == 1:
        return value
    scaled = graph.add("Mul", value, graph.reals(factor))
    return graph.add("Sub", scaled, graph.reals((factor - 1) / 2))


def finish(net: Network, corners: str, scores: str, count: int, classes: int, labels: str = "") -> None:
    """Add the head to the network, its cells and anchors as one axis of rows.

    Args:
        corners: (N, cells, `count`, 4).
        scores: (N, cells, `count`, `classes`), or (N, cells, `count`, 1) where `labels` are given.
        labels: int64 (N, cells, `count`, 1): the one class of each row.
    """
    graph = net.graph
    rows = count * net.current.height * net.current.width
    net.heads.append(
        Head(
            boxes=graph.add("Reshape", corners, graph.integers(0, rows, 4)),
            scores=graph.add("Reshape", scores, graph.integers(*((0, rows) if labels else (0, rows, classes)))),
            labels=graph.add("Reshape", labels, graph.integers(0, rows)) if labels else "",
            rows=rows,
            classes=classes,
        )
    )

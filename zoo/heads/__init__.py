"""Darknet's detection heads -> decoded boxes and scores in the graph. A new head is a function and a line in `HEADS`.

A head reads the layer before it, appends nodes that decode to the form of `shared.manifest`, and adds a `Head` to the
network. Its rows stand cell by cell along the rows of the grid, the anchors of a cell together. Boxes may reach out of
the frame; nothing is cut off or suppressed here. Options that count in training alone are not read.
"""

from __future__ import annotations

from collections.abc import Callable

from zoo.cfg import Section
from zoo.heads.gaussian import gaussian_yolo
from zoo.heads.region import region
from zoo.heads.yolo import yolo
from zoo.network import Network

HEADS: dict[str, Callable[[Network, Section], None]] = {
    "yolo": yolo,
    "gaussian_yolo": gaussian_yolo,
    "region": region,
}

__all__ = ["HEADS"]

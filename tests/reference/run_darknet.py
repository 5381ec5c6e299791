"""Runs a darknet library on frames as they are, in a process of its own: it prints, and ends the process at an error.

    python run_darknet.py original|alexeyab LIBRARY CFG WEIGHTS FRAME.npy OUT.npz [--tree F] [--map F] [--hier T ...]

In: a frame, uint8 (1, H, W, 3), of the network's size. Out: `boxes` (A, 4), x1 y1 x2 y2 of the frame, and `scores`
(A, C), what the library's `get_network_boxes` says at a threshold of -1, so every box; `hier 0.5` and so on with each
hierarchical threshold, `mapped` (A, 200) with a map. Rows cell by cell, the anchors of a cell together. Of a tree also
`found` (K, 6): class, confidence and corners of what is left at the thresholds of `FOUND` after `do_nms_sort`.

The original's CPU code cannot do a tree: `forward_region_layer` gives `softmax_cpu` a temperature of 0, strides of
another layout, and so NaN. Its GPU code, which made YOLO9000's results, runs one softmax for each group and row. Here
the library's own functions are called as its GPU code calls theirs, and the result lies where the rest looks for it.
"""

from __future__ import annotations

import argparse
import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LOGISTIC = 0
FOUND = (0.25, 0.5, 0.45)
"""Confidence, path down the tree, and overlap."""
MAPPED = 200
"""Entries that darknet reads of any map."""


class Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in "xywh"]


class Original(ctypes.Structure):
    _fields_ = [
        ("bbox", Box),
        ("classes", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    ]


class AlexeyAB(ctypes.Structure):
    _fields_ = [
        ("bbox", Box),
        ("classes", ctypes.c_int),
        ("best_class_idx", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
        ("uc", ctypes.POINTER(ctypes.c_float)),
        ("points", ctypes.c_int),
        ("embeddings", ctypes.POINTER(ctypes.c_float)),
        ("embedding_size", ctypes.c_int),
        ("sim", ctypes.c_float),
        ("track_id", ctypes.c_int),
    ]


FORKS: dict[str, tuple[type[ctypes.Structure], str, tuple[int, ...]]] = {
    "original": (Original, "network_predict", ()),
    "alexeyab": (AlexeyAB, "network_predict_ptr", (0,)),  # its `letter` argument: 0, the frame was not letterboxed
}


class Darknet:
    """One network in one library."""

    def __init__(self, fork: str, library: Path, cfg: Path, weights: Path) -> None:
        self._detection, predict, self._letter = FORKS[fork]
        self.library: Any = ctypes.CDLL(str(library))
        self.library.load_network.restype = ctypes.c_void_p
        self._predict = getattr(self.library, predict)
        self._predict.restype = ctypes.POINTER(ctypes.c_float)
        self.library.get_network_boxes.restype = ctypes.POINTER(self._detection)
        said = [line.split("=") for line in cfg.read_text().splitlines() if "=" in line]
        self.classes = next((int(value) for key, value in reversed(said) if key == "classes"), 0)
        self._network = ctypes.c_void_p(self.library.load_network(str(cfg).encode(), str(weights).encode(), 0))

    def output(self, frame: NDArray[np.uint8], count: int) -> Floats:
        """What the last layer says: a view of the library's own memory, float32 (`count`,)."""
        planes = np.ascontiguousarray(frame[0].transpose(2, 0, 1), np.float32) / np.float32(255)
        pointer = self._predict(self._network, planes.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        return np.ctypeslib.as_array(pointer, (count,))

    def boxes(
        self,
        frame: NDArray[np.uint8],
        hier: float,
        mapped: list[int] | None = None,
        threshold: float = -1,
        overlap: float | None = None,
    ) -> tuple[Floats, Floats]:
        """Every box of the frame that was predicted last, in the library's order: corners and probabilities.

        Args:
            threshold: probabilities up to this are 0.
            overlap: suppress boxes that overlap more; then the order is another.
        """
        count = ctypes.c_int(0)
        places = (ctypes.c_int * MAPPED)(*mapped) if mapped else None
        size = (ctypes.c_int(frame.shape[2]), ctypes.c_int(frame.shape[1]))
        thresholds = (ctypes.c_float(threshold), ctypes.c_float(hier))
        found = self.library.get_network_boxes(
            self._network, *size, *thresholds, places, 1, ctypes.byref(count), *self._letter
        )
        if overlap is not None:
            self.library.do_nms_sort(found, count, ctypes.c_int(self.classes), ctypes.c_float(overlap))
        rows = found[: count.value]
        classes = MAPPED if mapped else self.classes
        scores = np.stack([np.ctypeslib.as_array(one.prob, (classes,)) for one in rows])
        boxes = np.array([[one.bbox.x, one.bbox.y, one.bbox.w, one.bbox.h] for one in rows], np.float32)
        self.library.free_detections(found, count)
        return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1), scores


def groups(tree: Path) -> list[tuple[int, int]]:
    """First class and count of each run of siblings in a `.tree` file."""
    parents = [int(line.split()[1]) for line in tree.read_text().splitlines()]
    starts = [at for at, parent in enumerate(parents) if at == 0 or parent != parents[at - 1]]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], len(parents)], strict=True)]


def activated(network: Darknet, raw: Floats, anchors: int, tree: Path) -> Floats:
    """What a `[region]` of four coordinates with a tree makes of its input, by the library's own functions."""
    out = raw.copy().reshape(anchors, 5 + network.classes, -1)
    cells = out.shape[2]
    pointer = ctypes.POINTER(ctypes.c_float)
    for anchor in range(anchors):
        for first, count in ((0, 2), (4, 1)):
            values = out[anchor, first].ctypes.data_as(pointer)
            network.library.activate_array(values, ctypes.c_int(count * cells), ctypes.c_int(LOGISTIC))
        for first, count in groups(tree):
            values = out[anchor, 5 + first].ctypes.data_as(pointer)
            strides = (ctypes.c_int(number) for number in (count, 1, 0, cells, 1, cells))
            network.library.softmax_cpu(values, *strides, ctypes.c_float(1), values)
    return out.reshape(-1)


def by_cell(rows: Floats, anchors: int) -> Floats:
    """Rows of the original's `[region]`, anchor by anchor -> cell by cell."""
    return rows.reshape(anchors, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)


def run(options: argparse.Namespace) -> dict[str, Floats]:
    """Everything that the module says comes out, by name."""
    frame = np.load(options.frame)
    network = Darknet(options.fork, options.library, options.cfg, options.weights)
    text = options.cfg.read_text()
    head = text.rpartition("[region]")[2] if "[region]" in text else ""
    anchors = int(head.partition("num=")[2].split()[0]) if head else 0
    mapped = [int(line) for line in options.map.read_text().split()] if options.map else []
    mapped += [0] * (MAPPED - len(mapped))
    by_hand = options.fork == "original" and options.tree is not None
    count = 1
    if by_hand:
        network.output(frame, 1)
        count = len(network.boxes(frame, 0.5)[0]) * (5 + network.classes)
        bare = options.out.with_suffix(".cfg")
        bare.write_text(text.rpartition("[region]")[0])
        raw = Darknet(options.fork, options.library, bare, options.weights).output(frame, count)
        said = activated(network, raw, anchors, options.tree)
    found: dict[str, Floats] = {}
    forms: dict[str, tuple[float, list[int] | None]]
    forms = {f"hier {hier}": (hier, None) for hier in options.hier} if options.tree else {"scores": (0.5, None)}
    if options.map:
        forms["mapped"] = (0.5, mapped)
    for form, (hier, places) in forms.items():
        output = network.output(frame, count)
        if by_hand:
            output[:] = said  # `get_network_boxes` multiplies it in place
        boxes, scores = network.boxes(frame, hier, places)
        if options.fork == "original" and head:
            boxes, scores = by_cell(boxes, anchors), by_cell(scores, anchors)
        found |= {"boxes": boxes, form: scores}
    if by_hand:
        network.output(frame, count)[:] = said
        threshold, hier, overlap = FOUND
        boxes, scores = network.boxes(frame, hier, None, threshold, overlap)
        rows, labels = np.nonzero(scores)
        found["found"] = np.column_stack([labels, scores[rows, labels], boxes[rows]])
    return found


def main() -> None:
    """Run one library once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fork", choices=FORKS)
    for name in ("library", "cfg", "weights", "frame", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--map", type=Path)
    parser.add_argument("--hier", type=float, nargs="*", default=[0.5])
    options = parser.parse_args()
    found = run(options)
    np.savez(options.out, allow_pickle=False, **found)


if __name__ == "__main__":
    main()

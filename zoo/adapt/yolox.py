"""Exports of YOLOX (`tools/export_onnx.py`): (N, A, 5 + C), decoded or not.

Input (N, 3, H, W) BGR, 0..255; frames keep their aspect at the top left with grey 114 beside and below
(`yolox/data/data_augment.py`, `preproc`). Rows stand grid by grid for strides 8, 16, 32; objectness and classes are
probabilities already. Without `--decode_in_inference` the first four columns are offsets in cells and logarithms of
sizes in cells (`demo_postprocess`).
"""

from __future__ import annotations

from zoo.adapt.head import Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.signature import Signature
from zoo.adapt.ultralytics import rows_of
from zoo.adapt.yolo_rows import cells, grid


def _fits(signature: Signature, decoded: bool) -> bool:
    image = signature.image
    if len(signature.inputs) != 1 or image.rank != 4 or image.size(1) != 3 or "names" in signature.notes:
        return False
    rows = next((port for port in signature.outputs if port.rank == 3), None)
    if rows is None or (rows.size(2) or 6) < 6:
        return False
    width, height = signature.frame
    many = rows.size(1)
    if many is not None and many != cells(width or 0, height or 0):
        return False
    if decoded:  # the exponents are those of the sizes: the backbone has none
        return "Exp" in signature.operators and None not in (many, rows.size(2))
    # The grids are joined row by row, and turned at the very end; other YOLOs join boxes and classes last.
    return "Exp" not in signature.operators and signature.tail in (
        ("Transpose", "Concat 2"),
        ("Transpose", "Concat -1"),
    )


def _wrap(job: Job, decoded: bool) -> Naming:
    graph, signature = job.graph, job.signature
    port = rows_of(signature)
    wide = port.size(2)
    count = None if wide is None else wide - 5
    naming = job.naming(count, first=0)
    frame = graph.frame
    graph.pixels(signature.image, bgr=True)
    rows = graph.take(port)
    boxes = graph.part(rows, 0, 4)
    if not decoded:
        place, stride = (graph.constant(values) for values in grid(frame.width, frame.height))
        centre = graph.add("Mul", graph.add("Add", graph.part(rows, 0, 2), place), stride)
        size = graph.add("Mul", graph.add("Exp", graph.part(rows, 2, 4)), stride)
        boxes = graph.add("Concat", centre, size, axis=2)
    scores = graph.add("Mul", job.classes(rows, 5, naming, count), graph.part(rows, 4, 5))
    corners = graph.scaled(graph.corners(boxes), frame.width, frame.height)
    graph.detections(corners, scores, len(naming.labels))
    return naming


HEADS = {
    "yolox": Head(
        about="YOLOX: rows of offsets in cells, objectness, classes",
        fits=lambda signature: _fits(signature, decoded=False),
        wrap=lambda job: _wrap(job, decoded=False),
        family="yolox",
        resize="corner",
    ),
    "yolox-decoded": Head(
        about="YOLOX exported with decode_in_inference: rows of centre, size, objectness, classes",
        fits=lambda signature: _fits(signature, decoded=True),
        wrap=lambda job: _wrap(job, decoded=True),
        family="yolox",
        resize="corner",
    ),
}

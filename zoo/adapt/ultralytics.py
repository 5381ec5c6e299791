"""Exports of Ultralytics: YOLOv5, v8 to v12 and 26, their NMS-free and suppressed forms, RT-DETR.

Input (N, 3, H, W) RGB in 0..1, frames letterboxed with grey 114. One output (N, A, 5 + C) or (N, 4 + C, A) with boxes
as centre and size in pixels of the frame; segmentation and pose put more columns behind, which are left out. `end2end`
and `nms=True` exports answer (N, K, 6): x1 y1 x2 y2, score, class. The exporter writes `names`, `task`, `head` and
`end2end` into the file's notes (`ultralytics/engine/exporter.py`, `yolov5/export.py`).
"""

from __future__ import annotations

from onnx import TensorProto

from zoo.adapt import notes
from zoo.adapt.head import Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.signature import Port, Signature
from zoo.adapt.yolo_rows import STRIDES_P6, cells
from zoo.errors import ForeignModelError

_MOST_SUPPRESSED = 1000
_TASKS = frozenset({"detect", "segment", "pose"})


def rows_of(signature: Signature) -> Port:
    """The output with the rows: the first of rank 3.

    Raises:
        ForeignModelError: there is none.
    """
    found = next((port for port in signature.outputs if port.rank in (3, None)), None)
    return signature.needs(found, "output of rank 3")


def _fits(signature: Signature, form: str) -> bool:
    """Whether it is `yolov5`, `yolov8`, `yolov10`, `rtdetr` or `rtdetr-top`, as the notes say, else as the sizes do."""
    if len(signature.inputs) != 1 or signature.image.size(1) != 3 or signature.image.rank != 4:
        return False
    if not any(port.rank == 3 for port in signature.outputs):
        return False
    return form in (_form_by_notes(signature) or _form_by_sizes(signature)).split()


def _form_by_notes(signature: Signature) -> str:
    said = signature.notes
    if said.get("author") != "Ultralytics":
        return ""
    if said.get("task", "detect") not in _TASKS:
        raise ForeignModelError(f"An Ultralytics model for {said['task']!r} does not answer upright boxes.")
    if said.get("head") == "RTDETRDecoder" or "rtdetr" in said.get("description", "").lower():
        classes = len(notes.labels(said) or ())
        wide = rows_of(signature).size(2)
        if wide == 6 and classes == 2:
            return "rtdetr rtdetr-top"  # either: the exporter changed from one to the other
        return "rtdetr-top" if wide == 6 else "rtdetr"
    if said.get("end2end") == "True" or _exported_with_nms(said.get("args", "")):
        return "yolov10"
    return "yolov8"


def _exported_with_nms(text: str) -> bool:
    arguments = notes.parsed(text)
    return isinstance(arguments, dict) and arguments.get("nms") is True


def _form_by_sizes(signature: Signature) -> str:
    rows = rows_of(signature)
    many, wide = rows.size(1), rows.size(2)
    width, height = signature.frame
    if width and height and wide is not None:
        if many in (3 * cells(width, height), 3 * cells(width, height, STRIDES_P6)) and wide >= 6:
            return "yolov5"
        if wide == cells(width, height) and many is not None and many >= 5 and many != wide:
            return "yolov8"
    if wide == 6 and many is not None and many <= _MOST_SUPPRESSED:
        return "yolov10"
    if many is None and {"names", "stride"} <= signature.notes.keys():
        return "yolov5"  # which writes these two notes and no other
    return ""


def _wrap_v5(job: Job) -> Naming:
    """Rows (N, A, 5 + C): the score of a class is its probability times the box's objectness."""
    graph, signature = job.graph, job.signature
    port = rows_of(signature)
    count = _classes(job, port.size(2), 5)
    naming = job.naming(count, first=0)
    graph.pixels(signature.image, top=1)
    rows = graph.take(port)
    boxes = graph.scaled(graph.corners(rows), graph.frame.width, graph.frame.height)
    scores = graph.add("Mul", job.classes(rows, 5, naming, count), graph.part(rows, 4, 5))
    graph.detections(boxes, scores, len(naming.labels))
    return naming


def _wrap_v8(job: Job) -> Naming:
    """Columns (N, 4 + C, A): probabilities without objectness."""
    graph, signature = job.graph, job.signature
    port = rows_of(signature)
    count = _classes(job, port.size(1), 4)
    naming = job.naming(count, first=0)
    graph.pixels(signature.image, top=1)
    rows = graph.add("Transpose", graph.take(port), perm=[0, 2, 1])
    boxes = graph.scaled(graph.corners(rows), graph.frame.width, graph.frame.height)
    graph.detections(boxes, job.classes(rows, 4, naming, count), len(naming.labels))
    return naming


def _wrap_v10(job: Job) -> Naming:
    """Rows (N, K, 6 ...): x1 y1 x2 y2 in pixels, score, class; rows that say nothing have score 0."""
    graph, signature = job.graph, job.signature
    naming = job.naming(None, first=0)
    graph.pixels(signature.image, top=1)
    rows = graph.take(rows_of(signature))
    boxes = graph.scaled(graph.part(rows, 0, 4), graph.frame.width, graph.frame.height)
    graph.labelled(boxes, *_score_and_class(job, rows, naming))
    return naming


def _wrap_rtdetr(job: Job) -> Naming:
    """Rows (N, 300, 4 + C): centre and size in 0..1 of the frame, probabilities."""
    graph, signature = job.graph, job.signature
    port = rows_of(signature)
    count = _classes(job, port.size(2), 4)
    naming = job.naming(count, first=0)
    graph.pixels(signature.image, top=1)
    rows = graph.take(port)
    graph.detections(graph.corners(rows), job.classes(rows, 4, naming, count), len(naming.labels))
    return naming


def _wrap_rtdetr_top(job: Job) -> Naming:
    """Rows (N, K, 6): centre and size in 0..1 of the frame, score, class."""
    graph = job.graph
    naming = job.naming(None, first=0)
    graph.pixels(job.signature.image, top=1)
    rows = graph.take(rows_of(job.signature))
    graph.labelled(graph.corners(rows), *_score_and_class(job, rows, naming))
    return naming


def _score_and_class(job: Job, rows: str, naming: Naming) -> tuple[str, str]:
    """Columns 4 and 5 of (N, K, 6 ...) as scores (N, K) and labels (N, K)."""
    graph = job.graph
    flat = graph.integers(0, -1)
    scores = graph.add("Reshape", graph.part(rows, 4, 5), flat)
    classes = graph.add("Cast", graph.add("Reshape", graph.part(rows, 5, 6), flat), to=TensorProto.INT64)
    return scores, job.labels_of(classes, naming)


def _classes(job: Job, wide: int | None, before: int) -> int | None:
    """How many the output has room for; masks and key points stand behind them, so the file's own names count first."""
    own = notes.labels(job.signature.notes)
    if own is not None and (wide is None or before + len(own) <= wide):
        return len(own)
    return None if wide is None else wide - before


HEADS = {
    "yolov5": Head(
        about="YOLOv5 and YOLOv7: rows of centre, size, objectness, classes",
        fits=lambda signature: _fits(signature, "yolov5"),
        wrap=_wrap_v5,
        family="ultralytics",
        resize="letterbox",
    ),
    "yolov8": Head(
        about="YOLOv8, 9, 11, 12, 26: columns of centre, size, classes",
        fits=lambda signature: _fits(signature, "yolov8"),
        wrap=_wrap_v8,
        family="ultralytics",
        resize="letterbox",
    ),
    "yolov10": Head(
        about="YOLOv10, and Ultralytics exports with end2end or nms=True: rows of corners, score, class",
        fits=lambda signature: _fits(signature, "yolov10"),
        wrap=_wrap_v10,
        family="ultralytics",
        resize="letterbox",
        single_label=True,
        suppressed=True,
    ),
    "rtdetr-ultralytics": Head(
        about="RT-DETR of Ultralytics up to 8.3: rows of centre, size in 0..1, classes",
        fits=lambda signature: _fits(signature, "rtdetr"),
        wrap=_wrap_rtdetr,
        family="rt-detr",
        suppressed=True,
    ),
    "rtdetr-ultralytics-top": Head(
        about="RT-DETR of Ultralytics 8.4: rows of centre, size in 0..1, score, class",
        fits=lambda signature: _fits(signature, "rtdetr-top"),
        wrap=_wrap_rtdetr_top,
        family="rt-detr",
        single_label=True,
        suppressed=True,
    ),
}

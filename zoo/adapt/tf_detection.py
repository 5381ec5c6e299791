"""Exports of the TensorFlow Object Detection API by tf2onnx: SSD, Faster R-CNN, EfficientDet, CenterNet.

Input (N, H, W, 3) uint8 RGB; the graph resizes and normalises by itself. Outputs, by the API's `exporter.py` and
`exporter_lib_v2.py`: detection_boxes (N, K, 4) y1 x1 y2 x2 in 0..1 of the input, detection_scores (N, K) falling,
detection_classes (N, K) reals from 1, num_detections (N,). Rows from num_detections on are padding.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from zoo.adapt.head import Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.signature import Signature


def _fits(signature: Signature) -> bool:
    wanted = ("detection_boxes", "detection_scores", "detection_classes")
    return all(signature.output(name) for name in wanted) and signature.image.rank in (4, None)


def _wrap(job: Job) -> Naming:
    graph, signature = job.graph, job.signature
    boxes, scores, classes = (
        signature.needs(signature.output(f"detection_{name}"), f"output detection_{name}")
        for name in ("boxes", "scores", "classes")
    )
    graph.pixels(signature.image, channels_last=True)
    naming = job.naming(_classes(signature), first=1)
    labels = job.labels_of(graph.numbers(classes), naming)
    count = signature.output("num_detections")
    if count is not None:
        many = graph.add("Reshape", graph.take(count), graph.integers(-1, 1))
        valid = graph.add("Less", _rows(job, graph.take(scores)), many)
        labels = graph.add("Where", valid, labels, graph.integers(-1))
    graph.labelled(graph.x_first(graph.take(boxes)), graph.take(scores), labels)
    return naming


def _classes(signature: Signature) -> int | None:
    """How many there are, where an output with a score for each (and the background first) shows it."""
    for name in ("detection_multiclass_scores", "raw_detection_scores"):
        port = signature.output(name)
        if port is not None and port.rank == 3 and port.size(2):
            return (port.size(2) or 1) - 1
    return None


def _rows(job: Job, scores: str) -> str:
    """0, 1, 2 ... for each column of scores (N, K), float32 (1, K)."""
    graph, fixed = job.graph, job.signature.output("detection_scores")
    if fixed is not None and fixed.rank == 2 and fixed.size(1):
        return graph.reals(np.arange(fixed.size(1) or 0)[np.newaxis])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    ones = graph.add("ConstantOfShape", graph.part(graph.add("Shape", scores), 1, 2, axis=0), value=one)
    return graph.add("Cast", graph.add("NonZero", ones), to=TensorProto.FLOAT)


HEADS = {
    "tf-detection": Head(
        about="TensorFlow Object Detection API: detection_boxes, detection_classes, detection_scores",
        fits=_fits,
        wrap=_wrap,
        family="tf-detection",
        single_label=True,
        suppressed=True,
        coco_ids=True,
    )
}

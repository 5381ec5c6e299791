"""Forms of the ONNX model zoo that no exporter of today makes: SSD-ResNet34, YOLOv3 of keras, maskrcnn-benchmark.

Described in the README of each model there (`vision/object_detection_segmentation`); the box order of SSD-ResNet34 is
that of `PostProcessCocoOnnx` in MLPerf's inference reference, that of YOLOv3 is keras-yolo3's `yolo_correct_boxes`.
"""

from __future__ import annotations

import numpy as np

from shared.manifest import Defaults, Frame
from zoo.adapt.head import IMAGENET_DEVIATION, IMAGENET_MEAN, Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.signature import REAL, WHOLE, Port, Signature

_BGR_MEAN = (102.9801, 115.9465, 122.7717)


def _fits_ssd(signature: Signature) -> bool:
    return all(signature.output(name) for name in ("bboxes", "labels", "scores")) and len(signature.inputs) == 1


def _wrap_ssd(job: Job) -> Naming:
    """Boxes (N, K, 4) x1 y1 x2 y2 in 0..1, labels (N, K) from 1, scores (N, K)."""
    graph, signature = job.graph, job.signature
    boxes, labels, scores = (
        signature.needs(signature.output(name), f"output {name}") for name in ("bboxes", "labels", "scores")
    )
    graph.pixels(signature.image, top=1, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION)
    naming = job.naming(None, first=1)
    graph.labelled(graph.take(boxes), graph.take(scores), job.labels_of(graph.numbers(labels), naming))
    return naming


def _fits_keras(signature: Signature) -> bool:
    return signature.input("image_shape") is not None and len(signature.outputs) == 3


def _wrap_keras(job: Job) -> Naming:
    """Boxes (1, A, 4) y1 x1 y2 x2 in units of `image_shape`, scores (1, C, A); the graph's own suppression is left out,
    so that thresholds are the request's. The frame is told as the picture's shape: then nothing is un-letterboxed.
    """
    graph, signature = job.graph, job.signature
    shape = signature.needs(signature.input("image_shape"), "input image_shape")
    boxes, scores, _ = (*signature.outputs, None, None, None)[:3]
    boxes = signature.needs(boxes, "boxes")
    scores = signature.needs(scores, "scores")
    frame = graph.frame
    graph.pixels(signature.image, top=1)
    graph.repeated(shape, np.array([frame.height, frame.width]))
    corners = graph.scaled(graph.x_first(graph.take(boxes)), frame.width, frame.height)
    naming = job.naming(scores.size(1), first=0)
    graph.detections(corners, graph.add("Transpose", graph.take(scores), perm=[0, 2, 1]), len(naming.labels))
    return naming


def rcnn_outputs(signature: Signature) -> tuple[Port, Port, Port] | None:
    """Boxes (K, 4), labels (K,) and scores (K,) by type and rank, and by name where these leave a choice.

    Names alone do not count: torchvision's SSD and RetinaNet answer scores before labels, Faster R-CNN after them, and
    the names are whatever the exporting script gave. None where there are none.
    """
    forms: tuple[tuple[str, frozenset[int], int], ...] = (("boxes", REAL, 2), ("labels", WHOLE, 1), ("scores", REAL, 1))
    found = []
    for name, kinds, rank in forms:
        able = [port for port in signature.outputs if port.kind in kinds and port.rank in (None, rank)]
        able = [port for port in able if port.plain == name] or [port for port in able if port.rank == rank]
        if len(able) != 1:
            return None
        found.append(able[0])
    return found[0], found[1], found[2]


def normalises_itself(signature: Signature) -> bool:
    """Whether the first thing done to the picture is arithmetic: torchvision's transform is part of its models."""
    return bool({"Sub", "Div", "Mul", "Add"} & signature.first)


def _fits_rcnn(signature: Signature) -> bool:
    return (
        signature.image.rank == 3
        and signature.image.size(0) == 3
        and len(signature.inputs) == 1
        and rcnn_outputs(signature) is not None
        and not normalises_itself(signature)
    )


def wrap_rcnn_outputs(job: Job) -> Naming:
    """Boxes (K, 4) in pixels of the input, labels (K,) from 1, scores (K,), K different for each picture."""
    graph, signature = job.graph, job.signature
    found = rcnn_outputs(signature)
    boxes, labels, scores = found or (None, None, None)
    boxes = signature.needs(boxes, "outputs boxes (K, 4), labels (K), scores (K)")
    labels, scores = signature.needs(labels, "labels"), signature.needs(scores, "scores")
    rows = graph.row_of_one(graph.take(boxes), 4)
    naming = job.naming(None, first=1)
    fractions = graph.scaled(rows, graph.frame.width, graph.frame.height)
    numbers = job.labels_of(graph.row_of_one(graph.numbers(labels)), naming)
    graph.labelled(fractions, graph.row_of_one(graph.take(scores)), numbers)
    return naming


def _wrap_rcnn(job: Job) -> Naming:
    job.graph.pixels(job.signature.image, mean=_BGR_MEAN, bgr=True)
    return wrap_rcnn_outputs(job)


HEADS = {
    "ssd-resnet34": Head(
        about="SSD-ResNet34 of the ONNX model zoo and MLPerf: bboxes, labels, scores",
        fits=_fits_ssd,
        wrap=_wrap_ssd,
        family="ssd-resnet34",
        frame=Frame(width=1200, height=1200),
        single_label=True,
        suppressed=True,
    ),
    "keras-yolov3": Head(
        about="YOLOv3 and tiny YOLOv3 of the ONNX model zoo: inputs input_1, image_shape",
        fits=_fits_keras,
        wrap=_wrap_keras,
        family="keras-yolov3",
        frame=Frame(width=416, height=416),
        resize="letterbox",
        padding=128,
        one_picture=True,
    ),
    "maskrcnn-benchmark": Head(
        about="Faster and Mask R-CNN of the ONNX model zoo: BGR minus the mean, boxes in pixels",
        fits=_fits_rcnn,
        wrap=_wrap_rcnn,
        family="maskrcnn-benchmark",
        frame=Frame(width=1024, height=1024),
        resize="corner",
        single_label=True,
        suppressed=True,
        one_picture=True,
        defaults=Defaults(threshold=0.5),
    ),
}

"""Exports of DETR and its descendants: a fixed number of queries, boxes as centre and size in 0..1 of the frame.

DETR (Carion et al. 2020) normalises by ImageNet and answers a softmax whose last class says nothing is there. RT-DETR
takes 0..1 as it is and answers a sigmoid for each class (Hugging Face `RTDetrImageProcessor`). RT-DETR's own export,
and those of D-FINE and DEIM, choose the best pairs in the graph: images, orig_target_sizes -> labels, boxes, scores.
RF-DETR normalises by ImageNet and answers `dets` and `labels`. None leaves overlaps for a suppression to take away.
"""

from __future__ import annotations

import numpy as np

from shared.manifest import Defaults, Frame
from zoo.adapt.head import IMAGENET_DEVIATION, IMAGENET_MEAN, Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.signature import Port, Signature
from zoo.errors import ForeignModelError

_QUERIES = 100
_MAX_MASK = 4096


def _logits(signature: Signature) -> Port | None:
    return signature.output("logits", "pred_logits")


def _fits_queries(signature: Signature) -> bool:
    return _logits(signature) is not None and signature.output("pred_boxes") is not None


def _may_be_a_descendant(signature: Signature) -> bool:
    """Of DETR, with its inputs and outputs but a sigmoid: by the operator of deformable attention beside a mask, or by
    more queries than DETR's 100.
    """
    if "GridSample" in signature.operators:
        return signature.input("pixel_mask") is not None
    logits = _logits(signature)
    return logits is not None and logits.size(1) not in (None, _QUERIES)


def _wrap_queries(job: Job, softmax: bool, imagenet: bool, names: tuple[str, str] = ("logits", "pred_boxes")) -> Naming:
    """Logits (N, Q, C) and boxes (N, Q, 4)."""
    graph, signature = job.graph, job.signature
    logits = signature.needs(signature.output(names[0], "pred_logits"), f"output {names[0]}")
    boxes = signature.needs(signature.output(names[1]), f"output {names[1]}")
    wide = logits.size(2)
    spare = 1 if softmax or (names[0] == "labels" and wide == len(job.labels) + 1) else 0
    count = None if wide is None else wide - spare
    naming = job.naming(count, first=0)
    if imagenet:
        graph.pixels(signature.image, top=1, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION)
    else:
        graph.pixels(signature.image, top=1)
    _feed_mask(job)
    raw = graph.take(logits)
    scores = graph.add("Softmax", raw, axis=2) if softmax else graph.add("Sigmoid", raw)
    graph.detections(graph.corners(graph.take(boxes)), job.columns(scores, naming, wide), len(naming.labels))
    return naming


def _feed_mask(job: Job) -> None:
    """`pixel_mask` says where the picture is and where padding: all of the frame counts as picture."""
    mask = job.signature.input("pixel_mask")
    if mask is not None:
        frame = job.graph.frame
        height, width = mask.size(1) or frame.height, mask.size(2) or frame.width
        if max(height, width) > _MAX_MASK:
            raise ForeignModelError(f"The mask of {width}x{height} is larger than any frame.")
        job.graph.repeated(mask, np.ones((height, width)))


def _fits_chosen(signature: Signature) -> bool:
    outputs = all(signature.output(name) for name in ("labels", "boxes", "scores"))
    return outputs and signature.input("orig_target_sizes") is not None


def _wrap_chosen(job: Job) -> Naming:
    """Labels (N, K) from 0, boxes (N, K, 4) in units of orig_target_sizes, scores (N, K). A picture of size 1 x 1 is
    told, so that boxes come in 0..1.
    """
    graph, signature = job.graph, job.signature
    sizes = signature.needs(signature.input("orig_target_sizes"), "input orig_target_sizes")
    labels, boxes, scores = (
        signature.needs(signature.output(name), f"output {name}") for name in ("labels", "boxes", "scores")
    )
    naming = job.naming(None, first=0)
    graph.pixels(signature.image, top=1)
    graph.repeated(sizes, np.ones(2))
    graph.labelled(graph.take(boxes), graph.take(scores), job.labels_of(graph.numbers(labels), naming))
    return naming


def _fits_rf(signature: Signature) -> bool:
    return (
        signature.output("dets") is not None and signature.output("labels") is not None and len(signature.inputs) == 1
    )


HEADS = {
    "detr": Head(
        about="DETR: softmax with no-object last, ImageNet normalisation",
        fits=lambda signature: _fits_queries(signature) and "GridSample" not in signature.operators,
        wrap=lambda job: _wrap_queries(job, softmax=True, imagenet=True),
        family="detr",
        frame=Frame(width=800, height=800),
        resize="corner",
        suppressed=True,
        coco_ids=True,
        defaults=Defaults(threshold=0.5),
    ),
    "rt-detr": Head(
        about="RT-DETR, D-FINE, DEIM by their own exporters: images, orig_target_sizes -> labels, boxes, scores",
        fits=_fits_chosen,
        wrap=_wrap_chosen,
        family="rt-detr",
        single_label=True,
        suppressed=True,
        defaults=Defaults(threshold=0.5),
    ),
    "rt-detr-logits": Head(
        about="RT-DETR of Hugging Face: sigmoid, pixels in 0..1",
        fits=lambda signature: _fits_queries(signature) and "GridSample" in signature.operators,
        wrap=lambda job: _wrap_queries(job, softmax=False, imagenet=False),
        family="rt-detr",
        suppressed=True,
        defaults=Defaults(threshold=0.5),
    ),
    "deformable-detr": Head(
        about="Deformable, Conditional and DAB-DETR of Hugging Face: sigmoid, ImageNet normalisation",
        fits=lambda signature: _fits_queries(signature) and _may_be_a_descendant(signature),
        wrap=lambda job: _wrap_queries(job, softmax=False, imagenet=True),
        family="detr",
        frame=Frame(width=800, height=800),
        resize="corner",
        suppressed=True,
        coco_ids=True,
        defaults=Defaults(threshold=0.5),
    ),
    "rf-detr": Head(
        about="RF-DETR: dets, labels",
        fits=_fits_rf,
        wrap=lambda job: _wrap_queries(job, softmax=False, imagenet=True, names=("labels", "dets")),
        family="rf-detr",
        frame=Frame(width=560, height=560),
        suppressed=True,
        coco_ids=True,
        defaults=Defaults(threshold=0.5),
    ),
}

"""Exports of torchvision's detectors: Faster and Mask R-CNN, RetinaNet, FCOS, SSD, SSDlite.

Input (3, H, W) or (1, 3, H, W), RGB in 0..1; `GeneralizedRCNNTransform` resizes and normalises inside the graph.
Outputs boxes (K, 4) x1 y1 x2 y2 in pixels of the input, labels (K,) where 0 is the background and COCO's ids follow,
scores (K,). K differs from picture to picture, so a run takes one.
"""

from __future__ import annotations

from shared.manifest import Defaults, Frame
from zoo.adapt.head import Head, Job
from zoo.adapt.naming import Naming
from zoo.adapt.onnx_zoo import normalises_itself, rcnn_outputs, wrap_rcnn_outputs
from zoo.adapt.signature import Signature


def _fits(signature: Signature) -> bool:
    image = signature.image
    one = (image.rank == 3 and image.size(0) == 3) or (image.rank == 4 and image.size(0) == 1 and image.size(1) == 3)
    found = rcnn_outputs(signature)
    single = found is not None and all(port.rank in (None, size) for port, size in zip(found, (2, 1, 1), strict=True))
    return one and single and len(signature.inputs) == 1 and normalises_itself(signature)


def _wrap(job: Job) -> Naming:
    job.graph.pixels(job.signature.image, top=1)
    return wrap_rcnn_outputs(job)


HEADS = {
    "torchvision": Head(
        about="torchvision's detectors: RGB in 0..1, boxes in pixels, labels from 1",
        fits=_fits,
        wrap=_wrap,
        family="torchvision",
        frame=Frame(width=800, height=800),
        resize="corner",
        single_label=True,
        suppressed=True,
        coco_ids=True,
        one_picture=True,
        defaults=Defaults(threshold=0.5),
    )
}

"""One picture's boxes and scores -> its detections: threshold, overlap suppression, back to pixels, clipped, strongest
first. Does not know which model or device made the arrays.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.manifest import Manifest
from shared.schema import Box, Detection, Options
from worker.frame import Placement
from worker.output import Output

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

MAX_CANDIDATES = 30_000
"""Only so many of the strongest (box, class) pairs are looked at, which bounds the work at a threshold near 0."""


def select(output: Output, options: Options, manifest: Manifest, placement: Placement) -> tuple[Detection, ...]:
    """What was found in one picture, strongest first, boxes in pixels of the upright original and inside it.

    A pair of box and class counts when its probability is above 0 and at least the class's threshold, so one box may
    show up under two labels, as in darknet. Overlaps are suppressed class by class (`suppress`), unless the manifest
    says that the model leaves none; then `options.iou` has no meaning. Labels in `options` that the model does not
    have match nothing. Boxes with nothing inside the picture are dropped before they can suppress others. Confidences
    are rounded to 4 digits, boxes to 2.
    """
    rows, classes, scores = _candidates(output, _thresholds(options, manifest))
    corners = placement.to_picture(output.boxes[rows])
    inside = np.clip(corners, 0, (placement.width, placement.height) * 2).round(2)
    visible = np.flatnonzero((inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1]))
    order = visible[np.argsort(-scores[visible], kind="stable")]
    if not manifest.suppressed:
        iou = manifest.defaults.iou if options.iou is None else options.iou
        order = order[suppress(corners[order], classes[order], iou, options.max_detections)]
    return tuple(
        _detection(manifest.labels[classes[k]], int(classes[k]), float(scores[k]), inside[k])
        for k in order[: options.max_detections]
    )


def suppress(corners: Floats, classes: Ints, iou: float, most: int) -> Ints:
    """Greedy non-maximum suppression within each class, as darknet's `do_nms_sort` and OpenCV's `NMSBoxes` do it.

    A box falls when its intersection over union with a stronger kept box of its class is above `iou`.

    Args:
        corners: (K, 4) x1 y1 x2 y2, strongest first.
        classes: (K,) class numbers.
        iou: 0..1.
        most: stop when so many are kept; these are the same as the first `most` of all.

    Returns:
        Positions of the kept boxes, ascending.
    """
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    alive = np.ones(len(corners), np.bool_)
    members: dict[int, Ints] = {}
    kept: list[int] = []
    for k in range(len(corners)):
        if not alive[k]:
            continue
        kept.append(k)
        if len(kept) == most:
            break
        label = int(classes[k])
        same = members[label] if label in members else np.flatnonzero(classes == label)
        members[label] = same = same[(same > k) & alive[same]]
        if len(same):
            shared = _intersection(corners[k], corners[same])
            alive[same[shared > iou * (areas[k] + areas[same] - shared)]] = False
    return np.array(kept, np.intp)


def _intersection(one: Floats, many: Floats) -> Floats:
    low = np.maximum(one[:2], many[:, :2])
    high = np.minimum(one[2:], many[:, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=1))


def _thresholds(options: Options, manifest: Manifest) -> NDArray[np.float32]:
    """Smallest probability by class number (C,); infinite for classes that are not asked for."""
    common = manifest.defaults.threshold if options.threshold is None else options.threshold
    limits = np.full(len(manifest.labels), common, np.float32)
    if options.thresholds:
        limits[:] = [options.thresholds.get(label, common) for label in manifest.labels]
    if options.classes is not None:
        wanted = set(options.classes)
        limits[[label not in wanted for label in manifest.labels]] = np.inf
    return limits


def _candidates(output: Output, limits: NDArray[np.float32]) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Row, class and score of every pair that reaches its class's limit, at most `MAX_CANDIDATES`."""
    if output.labels is None:
        every = output.scores.ravel()
        near = np.flatnonzero(every >= limits.min(initial=np.inf))  # one pass leaves a few pairs
        rows, classes = np.divmod(near, len(limits))
        strong = (every[near] >= limits[classes]) & (every[near] > 0)
        rows, classes, scores = rows[strong], classes[strong], every[near[strong]]
    else:
        known = np.flatnonzero((output.labels >= 0) & (output.labels < len(limits)))  # padding rows say -1
        labels = output.labels[known].astype(np.intp)
        strong = (output.scores[known] >= limits[labels]) & (output.scores[known] > 0)
        rows, classes = known[strong], labels[strong]
        scores = output.scores[rows]
    if len(scores) > MAX_CANDIDATES:
        best = np.argpartition(-scores, MAX_CANDIDATES)[:MAX_CANDIDATES]
        rows, classes, scores = rows[best], classes[best], scores[best]
    return rows, classes, scores


def _detection(label: str, class_id: int, score: float, inside: Floats) -> Detection:
    left, top, right, bottom = inside.tolist()
    return Detection(
        label=label,
        class_id=class_id,
        confidence=round(min(score, 1.0), 4),
        box=Box(x=left, y=top, width=round(right - left, 2), height=round(bottom - top, 2)),
    )

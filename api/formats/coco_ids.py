"""The ids and names of COCO's 80 labels.

Source: the label lists of COCO 2017 (https://cocodataset.org) and of Darknet, which spells six of them otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

SPELLINGS = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}
"""COCO's names by Darknet's."""
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Of the ids 1..90 these have no objects in COCO 2017."""
_IDS = tuple(number for number in range(1, 91) if number not in _GAPS)
_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


def are_coco(labels: Sequence[str]) -> bool:
    """Whether these are the 80 labels of COCO, in their order and in either spelling."""
    return len(labels) == len(_NAMES) and all(
        SPELLINGS.get(one, one) == name for one, name in zip(labels, _NAMES, strict=True)
    )


def category_id(class_id: int, of_coco: bool) -> int:
    """Class 0.. -> COCO's gapped 1..90 for its own labels (what goes beyond them: from 92 on), else class + 1."""
    if not of_coco:
        return class_id + 1
    return _IDS[class_id] if class_id < len(_IDS) else class_id + 12

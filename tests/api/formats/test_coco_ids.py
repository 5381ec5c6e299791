"""The ids of COCO 2017, by places in its list that everybody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.formats.coco_ids import SPELLINGS, are_coco, category_id

DARKNETS = tuple((Path(__file__).parents[3] / "zoo" / "labels" / "coco.names").read_text().splitlines())
KNOWN = {
    "person": 1, "traffic light": 10, "fire hydrant": 11, "stop sign": 13, "cat": 17, "dog": 18, "giraffe": 25,
    "backpack": 27, "umbrella": 28, "handbag": 31, "bottle": 44, "wine glass": 46, "pottedplant": 64, "bed": 65,
    "diningtable": 67, "toilet": 70, "tvmonitor": 72, "refrigerator": 82, "book": 84, "toothbrush": 90,
}  # fmt: skip


def test_both_spellings_are_coco() -> None:
    assert are_coco(DARKNETS)
    assert are_coco([SPELLINGS.get(one, one) for one in DARKNETS])
    assert not are_coco(DARKNETS[:-1])
    assert not are_coco((*DARKNETS[:-1], "brush"))
    assert not are_coco((DARKNETS[1], DARKNETS[0], *DARKNETS[2:]))


@pytest.mark.parametrize(("label", "number"), sorted(KNOWN.items()))
def test_cocos_ids_have_gaps(label: str, number: int) -> None:
    assert category_id(DARKNETS.index(label), of_coco=True) == number


def test_every_class_has_an_id_of_its_own() -> None:
    ids = [category_id(k, of_coco=True) for k in range(100)]
    assert len(set(ids)) == 100
    assert max(ids[:80]) == 90
    assert min(ids[80:]) == 92
    assert [category_id(k, of_coco=False) for k in range(3)] == [1, 2, 3]

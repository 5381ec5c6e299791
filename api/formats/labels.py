"""The class ids of one data set, whichever versions of a model answered its pictures. Knows no form."""

from __future__ import annotations

from collections.abc import Sequence

from api.formats.coco_ids import are_coco
from shared.schema import Detection


class Labels:
    """The labels of one model version, by class id, and behind them those that only other versions found.

    A job that names no version may span a switch, so its pictures may number their classes differently; here a label
    has one id for all. Of a version that nobody describes any more, a class keeps its number while that is free.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self.of_coco = are_coco(labels)
        self._names: dict[int, str] = dict(enumerate(labels))
        self._ids: dict[str, int] = {}
        for number, label in self._names.items():
            self._ids.setdefault(label, number)

    def id_of(self, found: Detection) -> int:
        """Its class in this data set, from 0."""
        if self._names.get(found.class_id) == found.label:
            return found.class_id
        known = self._ids.get(found.label)
        if known is None:
            known = found.class_id if found.class_id not in self._names else max(self._names) + 1
            self._names[known] = found.label
            self._ids[found.label] = known
        return known

    @property
    def known(self) -> list[tuple[int, str]]:
        """Every class that is known by now with its label, by id."""
        return sorted(self._names.items())

    @property
    def names(self) -> list[str]:
        """The labels by class id from 0 on without a gap: what has no label is `class_<id>`."""
        return [self._names.get(number, f"class_{number}") for number in range(max(self._names, default=-1) + 1)]

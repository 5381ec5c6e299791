"""Names of classes -> which number each has in a foreign graph. Knows how exporters count classes; knows no graph.

Exporters count from 0 or from 1, keep a place for the background, or count by the ids of COCO's annotations, of which
ten of the first ninety never named anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.errors import ForeignModelError

COCO_IDS = tuple(number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""Of the 80 classes of COCO 2017 in their usual order, by the ids of `instances_val2017.json`."""

_COCO_ENDS = ("person", "toothbrush")
_COCO_IDS_UP_TO = (90, 91)
_BACKGROUND = frozenset({"background", "bg", "void"})
_MAX_CLASSES = 100_000
_MAX_NAME = 200


@dataclass(frozen=True)
class Naming:
    """The names of a model's classes.

    Attributes:
        labels: in the order of the contract.
        numbers: of the same classes in the foreign graph.
    """

    labels: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def start(self) -> int | None:
        """The first number where they follow each other; else None."""
        first = self.numbers[0]
        return first if self.numbers == tuple(range(first, first + len(self.numbers))) else None


def settle(labels: Sequence[str], count: int | None, first: int, coco_ids: bool) -> Naming:
    """Bring names and numbers together.

    Args:
        labels: as the user or the file gives them; one in front that says background is left out where `first` is 1.
        count: classes that the graph knows, without background; None where it does not show.
        first: number of the first class in the graph.
        coco_ids: whether such exports count by COCO's ids, so that its 80 names stand for numbers up to 90.

    Raises:
        ForeignModelError: there are more or fewer names than classes.
    """
    named = tuple(labels)
    if first == 1 and named and named[0].strip(" _").lower() in _BACKGROUND:
        named = named[1:]
    if coco_ids and (count is None or count in _COCO_IDS_UP_TO) and _is_coco(named):
        return Naming(named, COCO_IDS)
    if count is not None and len(named) != count:
        hint = " (COCO's 80 names would do)" if coco_ids and count in _COCO_IDS_UP_TO else ""
        raise ForeignModelError(f"The model has {count} classes{hint}, but there are {len(named)} names for them.")
    return Naming(named, tuple(range(first, first + len(named))))


def _is_coco(labels: tuple[str, ...]) -> bool:
    return len(labels) == len(COCO_IDS) and (labels[0].lower(), labels[-1].lower()) == _COCO_ENDS


def checked(labels: Sequence[str]) -> tuple[str, ...]:
    """The names without spaces around them.

    Raises:
        ForeignModelError: there are none or too many, or one is empty or endless.
    """
    named = tuple(label.strip() for label in labels)
    if not 1 <= len(named) <= _MAX_CLASSES:
        raise ForeignModelError(f"There are {len(named):,} class names; from 1 to {_MAX_CLASSES:,} are allowed.")
    wrong = next((place for place, name in enumerate(named) if not 1 <= len(name) <= _MAX_NAME), None)
    if wrong is not None:
        raise ForeignModelError(f"Class name {wrong + 1} is empty or longer than {_MAX_NAME} characters.")
    return named

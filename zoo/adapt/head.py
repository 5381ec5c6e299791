"""What a family of exports is to this package: how it is recognised, what its frames are, how its outputs are read.

Knows no family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from shared.manifest import Defaults, Frame, Resize
from zoo.adapt.naming import Naming, settle
from zoo.adapt.signature import Signature
from zoo.adapt.wrapper import Wrapper

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of RGB in 0..1, as torchvision and everything trained from its backbones use them."""


@dataclass(frozen=True)
class Job:
    """One graph that is being wrapped.

    Attributes:
        signature: with the sizes that follow from the frame.
        labels: names as the user or the file gives them.
    """

    graph: Wrapper
    signature: Signature
    labels: tuple[str, ...]
    coco_ids: bool

    def naming(self, count: int | None, first: int) -> Naming:
        """See `naming.settle`.

        Raises:
            ForeignModelError: there are more or fewer names than classes.
        """
        return settle(self.labels, count, first, self.coco_ids)

    def columns(self, scores: str, naming: Naming, count: int | None) -> str:
        """Scores (N, A, `count`) by the graph's numbers -> (N, A, C) by the contract's order."""
        if naming.start is None:
            return self.graph.add("Gather", scores, self.graph.integers(*naming.numbers), axis=2)
        if naming.start == 0 and count == len(naming.labels):
            return scores
        return self.graph.part(scores, naming.start, naming.start + len(naming.labels))

    def classes(self, rows: str, before: int, naming: Naming, count: int | None) -> str:
        """The columns of the classes in rows (N, A, before + C ...), in the contract's order; never reordered.

        Where the graph does not show how many there are, a run with another number of them fails, so that a wrong
        list of names shows when the model is loaded.
        """
        wide = len(naming.labels)
        if count is not None:
            return self.graph.part(rows, before, before + wide)
        return self.graph.add("Add", self.graph.part(rows, before), self.graph.reals(np.zeros((1, 1, wide))))

    def labels_of(self, numbers: str, naming: Naming) -> str:
        """Class numbers int64 of any shape by the graph's count -> by the contract's order; -1 for those it lacks."""
        graph = self.graph
        if naming.start is not None:
            moved = graph.add("Sub", numbers, graph.integers(naming.start)) if naming.start else numbers
            return self._within(moved, moved, len(naming.labels))
        table = np.full(naming.numbers[-1] + 1, -1, np.int64)
        table[list(naming.numbers)] = np.arange(len(naming.numbers))
        place = self._within(numbers, numbers, len(table), other=0)  # 0 is the background: no class
        return graph.add("Gather", graph.constant(table), place, axis=0)

    def _within(self, numbers: str, value: str, stop: int, other: int = -1) -> str:
        graph = self.graph
        reals = graph.add("Cast", numbers, to=TensorProto.FLOAT)
        low, high = graph.add("Less", graph.reals([-0.5]), reals), graph.add("Less", reals, graph.reals([stop - 0.5]))
        return graph.add("Where", graph.add("And", low, high), value, graph.integers(other))


@dataclass(frozen=True)
class Head:
    """One form of a detector's inputs and outputs.

    Attributes:
        about: for the user who has to choose between heads.
        fits: whether a signature is of this form.
        wrap: adds the nodes; which class has which number in the graph.
        frame: where the graph leaves the size open.
        coco_ids: whether exports of this form often count by COCO's annotation ids.
        one_picture: whether the graph takes one picture a run whatever it says.
        resize, padding, single_label, suppressed, defaults: see `shared.manifest.Traits`.
    """

    about: str
    fits: Callable[[Signature], bool]
    wrap: Callable[[Job], Naming]
    family: str
    frame: Frame = Frame(width=640, height=640)  # noqa: RUF009  (frozen)
    resize: Resize = "stretch"
    padding: float = 114
    single_label: bool = False
    suppressed: bool = False
    coco_ids: bool = False
    one_picture: bool = False
    defaults: Defaults = Defaults()  # noqa: RUF009  (frozen)

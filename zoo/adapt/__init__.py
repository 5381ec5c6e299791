"""Somebody else's ONNX detector in, a model under the contract of `shared.manifest` out: `adapt`.

The foreign graph stays as it is, in its own opset; nodes in front of it take uint8 RGB frames and give it what it was
trained on, nodes behind it turn its answers into boxes and scores. So a worker serves it like any other model. Runs
nothing of the file; what ONNX Runtime makes of it shows at the first load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto
from pydantic import ValidationError

from shared.manifest import Defaults, Frame, Origin, Resize, Traits
from zoo.adapt import notes
from zoo.adapt.head import Job
from zoo.adapt.naming import checked
from zoo.adapt.reading import read
from zoo.adapt.recognise import HEADS, recognise
from zoo.adapt.signature import Signature, signature_of, sized
from zoo.adapt.walk import nodes
from zoo.adapt.wrapper import Wrapper
from zoo.errors import ForeignModelError

__all__ = ["HEADS", "Adapted", "adapt"]

CRASHES = {"openvino": frozenset({"Loop", "Scan"})}
"""Operators on which a provider of ONNX Runtime ends the process. OpenVINO's (onnxruntime-openvino 1.24) does while it
reads the Loop that tf2onnx makes of `tf.map_fn`, which every TensorFlow detector begins with; nothing can catch that.
"""

_ANY = Frame(width=640, height=640)
"""For recognition alone, where a graph takes frames of any size: outputs are told apart by how many rows they have."""


@dataclass(frozen=True)
class Adapted:
    """A wrapped model and what the manifest says of it; see `shared.manifest.Traits` for the fields.

    Attributes:
        head: name of the form that was recognised or asked for.
    """

    model: ModelProto
    head: str
    family: str
    labels: tuple[str, ...]
    frame: Frame
    resize: Resize
    padding: float
    single_label: bool
    suppressed: bool
    max_batch: int | None
    unfit: tuple[str, ...]
    defaults: Defaults

    def traits(self, origin: Origin) -> Traits:
        """What `zoo.repository.install` takes beside the model."""
        names = ("family", "labels", "frame", "resize", "padding", "single_label", "suppressed", "max_batch", "unfit")
        return Traits(
            **{name: getattr(self, name) for name in names},
            defaults=self.defaults,
            origin=origin,
        )


def adapt(
    path: Path,
    *,
    head: str | None = None,
    frame: Frame | None = None,
    labels: Sequence[str] | None = None,
    resize: Resize | None = None,
    max_batch: int | None = None,
) -> Adapted:
    """Wrap the detector in the file at `path`.

    Args:
        head: a key of `HEADS`; recognised from the graph where None.
        frame: for a graph that leaves the size of its input open; where None, what the file notes, else a common size
            of the family.
        labels: names of the classes in the order of the model, one for each; where None, those that the file carries.
            COCO's 80 names also do for exports that count by its annotation ids.
        resize: how pictures come into the frame, where the family's way is not that of this model.
        max_batch: 1 for a graph that says it takes any number of pictures but does not.

    Raises:
        ForeignModelError: the file is unsafe, damaged or of no known form, or names and sizes do not fit it; the text
            says what to do.
    """
    model = read(path)
    try:
        signature = signature_of(model)
        chosen = recognise(sized(model, signature, _frame(signature, frame or _ANY, asked=frame is not None)), head)
        form = HEADS[chosen]
        names = _names(signature, labels)
        size = _frame(signature, frame or notes.frame(signature.notes) or form.frame, asked=frame is not None)
        batch = 1 if form.one_picture or max_batch == 1 else _batch(signature)
        inner = sized(model, signature, size)
        graph = Wrapper(model, size, batch)
        job = Job(graph, inner, names, form.coco_ids)
        naming = form.wrap(job)
        wrapped = graph.finish()
    except UnicodeDecodeError:
        raise ForeignModelError(f"{path.name} is damaged: it holds names that are not UTF-8.") from None
    return Adapted(
        model=wrapped,
        head=chosen,
        family=form.family,
        labels=naming.labels,
        frame=size,
        resize=resize or form.resize,
        padding=form.padding,
        single_label=form.single_label,
        suppressed=form.suppressed,
        max_batch=batch if max_batch is None else max_batch,
        unfit=_unfit(wrapped),
        defaults=form.defaults,
    )


def _unfit(model: ModelProto) -> tuple[str, ...]:
    operators = {node.op_type for node in nodes(model.graph)}
    return tuple(provider for provider, crashes in CRASHES.items() if operators & crashes)


def _names(signature: Signature, labels: Sequence[str] | None) -> tuple[str, ...]:
    found = checked(labels) if labels is not None else notes.labels(signature.notes)
    if found is None:
        raise ForeignModelError(
            "The file does not name its classes: give their names with --names FILE, one a line, in the model's order."
        )
    return found


def _frame(signature: Signature, wanted: Frame, asked: bool) -> Frame:
    width, height = signature.frame
    if asked and ((width or wanted.width) != wanted.width or (height or wanted.height) != wanted.height):
        raise ForeignModelError(
            f"The model takes frames of {width or 'any'}x{height or 'any'} only, not {wanted.width}x{wanted.height}."
        )
    try:
        return Frame(width=width or wanted.width, height=height or wanted.height)
    except ValidationError:
        raise ForeignModelError(f"The model takes frames of {width}x{height}, which is more than 8192.") from None


def _batch(signature: Signature) -> int | None:
    """1 or None for any number."""
    size = signature.batch
    if size not in (1, None):
        raise ForeignModelError(
            f"The model takes exactly {size} pictures in a run: export it for 1 or with a dynamic batch."
        )
    return size

"""A signature -> the head that it has. Knows all the heads there are; refuses to guess between two."""

from __future__ import annotations

from zoo.adapt import detr, onnx_zoo, tf_detection, torchvision, ultralytics, yolox
from zoo.adapt.head import Head
from zoo.adapt.signature import Signature
from zoo.errors import ForeignModelError

HEADS: dict[str, Head] = {
    **tf_detection.HEADS,
    **onnx_zoo.HEADS,
    **torchvision.HEADS,
    **ultralytics.HEADS,
    **yolox.HEADS,
    **detr.HEADS,
}
"""By the name that `--head` takes. A new one: an entry in the dict of a module beside this one."""


def recognise(signature: Signature, asked: str | None = None) -> str:
    """The name of the head of a graph.

    Args:
        asked: the user's word, which is taken as it is.

    Raises:
        ForeignModelError: there is no head `asked`, or none or more than one fits; the text names the candidates.
    """
    if asked is not None:
        if asked not in HEADS:
            raise ForeignModelError(f"There is no head {asked!r}: use one of {', '.join(HEADS)}.")
        return asked
    fitting = [name for name, head in HEADS.items() if head.fits(signature)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = "; ".join(f"{name} ({HEADS[name].about})" for name in fitting)
        raise ForeignModelError(f"The model could be of more than one form. Say which with --head: {choices}.")
    raise ForeignModelError(
        f"The form of the model is not known ({signature}). "
        f"If it is one of these, say so with --head: {', '.join(HEADS)}."
    )

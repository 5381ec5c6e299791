"""Label Studio's labelling interface (XML) -> which tags a box belongs to, and what its label is called there.

Source: labelstud.io/tags (RectangleLabels, Label, Image) and how label-studio-sdk and the YOLO backend read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from api.adapters.bodies import invalid

FIELD = "label_config"
LONGEST = 500_000
"""Characters."""


@dataclass(frozen=True)
class Boxes:
    """The first RectangleLabels tag that is for a picture.

    Attributes:
        from_name, to_name: of the RectangleLabels and of the Image tag.
        key: of the task's data that has the picture's address.
        labels: what Label Studio calls a label, by the model's name for it in small letters.
        threshold: smallest score that the tag asks for (`score_threshold`), 0..1; None: it does not say.
    """

    from_name: str
    to_name: str
    key: str
    labels: dict[str, str]
    threshold: float | None

    def label(self, found: str) -> str | None:
        """What a label of the model is called; None where the interface has none for it."""
        return self.labels.get(found.casefold())


def read_boxes(text: str) -> Boxes:
    """Raises InvalidRequest: it is not XML, or has no RectangleLabels for an Image."""
    root = _parsed(text)
    pictures = {tag.get("name"): tag for tag in root.iter("Image") if (tag.get("value") or "").startswith("$")}
    for control in root.iter("RectangleLabels"):
        names = [name.strip() for name in (control.get("toName") or "").split(",")]
        to_name = next((name for name in names if name in pictures), None)
        if to_name is not None and control.get("name"):
            return Boxes(
                from_name=control.get("name", ""),
                to_name=to_name,
                key=pictures[to_name].get("value", "")[1:],
                labels=_labels(control),
                threshold=_threshold(control.get("score_threshold") or control.get("model_score_threshold")),
            )
    raise invalid(FIELD, "has no RectangleLabels whose toName is an Image with a value such as $image")


def _parsed(text: str) -> ElementTree.Element:
    if len(text) > LONGEST:
        raise invalid(FIELD, f"may hold {LONGEST} characters at most")
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():  # entities grow without bound
        raise invalid(FIELD, "may not declare a document type")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - without declarations there is nothing to expand
    except (ElementTree.ParseError, ValueError):  # the second: characters that no encoding has
        raise invalid(FIELD, "is not XML") from None


def _labels(control: ElementTree.Element) -> dict[str, str]:
    """`predicted_values` of a Label names the model's labels, separated by commas; else its own name does."""
    found: dict[str, str] = {}
    for tag in control.iter("Label"):
        called = tag.get("alias") or tag.get("value")
        if not called:
            continue
        said = [name.strip() for name in (tag.get("predicted_values") or "").split(",") if name.strip()]
        for name in said or [tag.get("value") or called, called]:
            found.setdefault(name.casefold(), called)
    return found


def _threshold(text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise invalid(FIELD, "score_threshold must be from 0 to 1")
    return value

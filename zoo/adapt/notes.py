"""The notes (`metadata_props`) that an exporter leaves in a file -> what they say. Hostile like the rest of the file.

Ultralytics writes `names`, `imgsz`, `task`, `end2end` and more as the text of Python values (`engine/exporter.py`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

from pydantic import ValidationError

from shared.manifest import Frame
from zoo.adapt.naming import checked
from zoo.errors import ForeignModelError

_MAX_TEXT = 4_000_000


def frame(notes: Mapping[str, str]) -> Frame | None:
    """The size that the model was exported for, in `imgsz` as height and width; None where it does not say."""
    sizes = parsed(notes.get("imgsz", ""))
    if not isinstance(sizes, list) or len(sizes) != 2:
        return None
    try:
        return Frame(width=sizes[1], height=sizes[0])
    except ValidationError:
        return None  # only a default: the graph's own sizes and the user's wish come first


def labels(notes: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names that an export carries: Ultralytics writes `names` as the text of a Python dict or list.

    Raises:
        ForeignModelError: there is such an entry but it is damaged.
    """
    text = notes.get("names")
    if text is None:
        return None
    found = parsed(text)
    if isinstance(found, dict):
        numbered = {int(key): name for key, name in found.items() if str(key).isdigit()}
        found = (
            [numbered[number] for number in sorted(numbered)] if sorted(numbered) == list(range(len(found))) else None
        )
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ForeignModelError("The model's own class names are damaged: give them with --names FILE, one a line.")
    return checked(found)


def parsed(text: str) -> object:
    """The value that a note is the text of, as Python or JSON writes it; None where it is neither."""
    if len(text) > _MAX_TEXT:
        return None
    for parse in (ast.literal_eval, json.loads):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    return None

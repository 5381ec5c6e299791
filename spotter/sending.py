"""Pictures and options of a caller -> the body of one request. Reads files; sends nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

OPTIONS = frozenset({"threshold", "iou", "max_detections", "classes", "thresholds", "draw"})

Source = str | Path | bytes | Mapping[str, str]
"""A picture: a path, its encoded bytes, a text that starts with http://, https:// or s3:// (else it is a path), or the
source as the service has it, such as {"url": ..., "id": ...}. A path may be a zip of pictures, if it is the only one.
"""


def content(
    pictures: Sequence[Source], manifest: str | None, request: Mapping[str, Any], opened: ExitStack
) -> dict[str, Any]:
    """Arguments for `httpx.Client.request`. Files and bytes alone travel as a form; beside addresses, as base64.

    Args:
        manifest: an `s3://` list of pictures, instead of them.
        request: fields of the job and, beside them, its options; None counts as not given.
        opened: holds files that are read while they are sent.

    Raises:
        OSError: a file cannot be read.
        ValueError: no picture, or pictures and a manifest.
    """
    if bool(pictures) == bool(manifest):
        raise ValueError("a job needs at least one picture, or a manifest in their place")
    given = {name: value for name, value in request.items() if value is not None}
    options = {name: given.pop(name) for name in OPTIONS & set(given)}
    if options:
        given["options"] = options
    if manifest:
        return {"json": {"manifest": {"s3": manifest}, **given}}
    if any(is_address(one) or isinstance(one, Mapping) for one in pictures):
        sources = [_as_source(one) for one in pictures]
        return {"json": {**({"image": sources[0]} if len(sources) == 1 else {"images": sources}), **given}}
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    if is_archive(pictures[0]):
        path = Path(str(pictures[0]))
        return {"files": [("file", (path.name, opened.enter_context(path.open("rb"))))], "data": fields}
    return {"files": [("file", named_bytes(one)) for one in pictures], "data": fields}


def is_address(picture: Source) -> bool:
    """Whether the service fetches the picture itself, so that it need not be read here."""
    return isinstance(picture, str) and picture.lower().startswith(("http://", "https://", "s3://"))


def is_archive(picture: Source) -> bool:
    """Whether it is the path of a zip, which may be too large to be read at once."""
    path = isinstance(picture, str | Path) and not is_address(picture)
    return path and str(picture).lower().endswith(".zip")


def _as_source(picture: Source) -> Mapping[str, str]:
    if isinstance(picture, Mapping):
        return picture
    if isinstance(picture, str) and is_address(picture):
        return {"s3" if picture.lower().startswith("s3:") else "url": picture}
    return {"base64": base64.b64encode(named_bytes(picture)[1]).decode()}


def named_bytes(picture: Source) -> tuple[str, bytes]:
    """What a file is called, and its bytes. Raises OSError: it cannot be read."""
    if isinstance(picture, bytes):
        return "picture", picture
    path = Path(str(picture))
    return path.name, path.read_bytes()

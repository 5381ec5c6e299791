"""Where pictures came from -> file names that any system can hold, each once. Knows no form."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from shared.schema import S3Source, StoredSource, UrlSource

LONGEST = 120
"""Characters of a stem."""
_MOST_BYTES = 200
_UNSAFE = re.compile(r"[^\w.\- ]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Devices of Windows, with any suffix."""
_SUFFIX = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?)", re.IGNORECASE)


class Names:
    """Names of one data set. Two are never equal, nor are their stems, nor does case alone tell them apart."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def name(self, index: int, source: StoredSource) -> str:
        """The picture's id, else the last part of its address, else `picture-<index>`: made safe, and numbered where
        an earlier picture has it. Ask in the order of the pictures, and every export gives the same names.
        """
        stem, suffix = split(_safe(_wanted(source)) or f"picture-{index:05}")
        plain = stem.casefold()
        unique, number = stem, self._next.get(plain, 2)
        while unique.casefold() in self._taken:
            unique = f"{stem}-{number}"
            number += 1
        self._next[plain] = number
        self._taken.add(unique.casefold())
        return unique + suffix


def split(name: str) -> tuple[str, str]:
    """`a.b.jpg` -> (`a.b`, `.jpg`); what is not a picture's suffix belongs to the stem."""
    path = PurePosixPath(name)
    return (path.stem, path.suffix) if _SUFFIX.fullmatch(path.suffix) else (name, "")


def _wanted(source: StoredSource) -> str:
    if source.id is not None:
        return source.id
    if isinstance(source, UrlSource):
        return unquote(urlsplit(source.url).path).rpartition("/")[2]
    if isinstance(source, S3Source):
        return source.s3.rpartition("/")[2]
    return ""


def _safe(name: str) -> str:
    """Letters, digits, `_`, `-`, `.` and inner blanks; never hidden, never a path, never a device."""
    stem, suffix = split(_UNSAFE.sub("_", name).strip(" ."))
    stem = _fitting(stem).rstrip(" .")
    return ("_" + stem if _RESERVED.fullmatch(stem) else stem) + suffix if stem else ""


def _fitting(stem: str) -> str:
    """What a file system holds of it, beside a number and a suffix."""
    return stem[:LONGEST].encode()[:_MOST_BYTES].decode(errors="ignore")

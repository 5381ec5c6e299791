"""Texts by name -> the bytes of one ZIP archive, piece by piece as they come. Nothing that was given out is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MEDIA_TYPE = "application/zip"
_ORDINARY_FILE = 0o100644 << 16
_FASTEST = 1
"""Texts of boxes shrink to a third at any level."""


class _Pieces:
    """What ZipFile needs of a file that it cannot seek in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


class Zipped:
    """One archive. All its files have the same time, so the same job gives the same bytes."""

    def __init__(self, at: int) -> None:
        self._pieces = _Pieces()
        self._archive = ZipFile(self._pieces, "w", ZIP_DEFLATED, compresslevel=_FASTEST)
        self._time = datetime.fromtimestamp(at / 1000, UTC).timetuple()[:6]

    def add(self, name: str, text: str) -> None:
        """One file, in UTF-8."""
        info = ZipInfo(name, self._time)
        info.external_attr = _ORDINARY_FILE
        self._archive.writestr(info, text, ZIP_DEFLATED, _FASTEST)

    def taken(self) -> bytes:
        """The bytes since the last call."""
        return self._pieces.taken()

    def closed(self) -> bytes:
        """The last bytes: the list of all files."""
        self._archive.close()
        return self._pieces.taken()

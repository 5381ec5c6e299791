"""A zip archive on disk -> the pictures in it, one at a time. Trusts nothing that the archive says of itself.

In: an open file and the bounds of a job. Out: entries with a name and, while they are inflated, their bytes; or an
InvalidRequest that names what is wrong. It does not know where the bytes go, nor whether they are a picture: that
is the worker's to find, picture by picture. Names are ids alone, no path is ever made of them.

Against archives made to do harm (Fifield, "A better zip bomb", WOOT 2019; CVE-2024-0450): the directory has a bound
before it is read, entries may not overlap, and bytes are counted as they come out, whatever sizes the archive claims.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from shared.errors import FieldError, InvalidRequest
from shared.ids import upload_id
from shared.schema import UploadSource

DIRECTORY_BYTES = 4 * 1024 * 1024
"""Of the archive's directory: 10,000 pictures with names of 300 bytes."""
BATCH_BYTES = 4 * 1024 * 1024
"""What is inflated before it is handed on, and one picture more."""
MOST_ERRORS = 50
ID_LENGTH = 200
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp"})
MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of an archive, and of an empty one."""

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_READ_BYTES = 262_144
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError,
    OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Room:
    """What an archive may hold.

    Attributes:
        pictures: entries that are pictures.
        image_bytes: one of them.
        total_bytes: all of them, inflated.
    """

    pictures: int
    image_bytes: int
    total_bytes: int


class Archive:
    """An open archive whose directory was checked. Blocking; one thread at a time.

    Attributes:
        sources: one for each picture, in the archive's order; their uploads are still to be stored.
        digests: SHA-256 of each upload that was read so far, by its name.

    Raises (when made):
        InvalidRequest: it is no zip, is encrypted, holds too much or too little, or something that is no picture.
    """

    def __init__(self, file: IO[bytes], owner: str, room: Room, *, skip_others: bool = False) -> None:
        self._file, self._room = file, room
        try:
            self._zip = zipfile.ZipFile(_Guarded(file))  # what zipfile needs of a file
            entries = self._zip.infolist()
        except _BROKEN as error:
            raise _refused("this is not a zip archive, or a broken one") from error
        self._entries = _pictures(entries, room, skip_others)
        self.sources = tuple(UploadSource(upload=upload_id(owner), id=_name(entry)) for entry in self._entries)
        self.digests: dict[str, str] = {}

    def batches(self) -> Iterator[dict[str, bytes]]:
        """Bytes by upload, some megabytes at a time. Raises InvalidRequest."""
        batch: dict[str, bytes] = {}
        size = total = 0
        for entry, source in zip(self._entries, self.sources, strict=True):
            data = self._read(entry)
            size, total = size + len(data), total + len(data)
            if total > self._room.total_bytes:
                raise _refused(f"its pictures may hold {self._room.total_bytes} bytes in all")
            self.digests[source.upload] = hashlib.sha256(data).hexdigest()
            batch[source.upload] = data
            if size >= BATCH_BYTES:
                yield batch
                batch, size = {}, 0
        if batch:
            yield batch

    def close(self) -> None:
        """The file is not needed any more."""
        self._zip.close()
        self._file.close()

    def _read(self, entry: zipfile.ZipInfo) -> bytes:
        most, data = self._room.image_bytes, bytearray()
        try:
            with self._zip.open(entry) as stream:
                while len(data) <= most and (part := stream.read(_READ_BYTES)):
                    data += part
        except _BROKEN as error:
            raise _entry_refused(entry, "its bytes cannot be read") from error
        if not data:
            raise _entry_refused(entry, "the picture is empty")
        if len(data) > most:
            raise _entry_refused(entry, f"a picture may hold {most} bytes at most")
        return bytes(data)


class _Guarded:
    """The file as zipfile sees it: no read is larger than the directory may be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, or with -1 the rest. Raises InvalidRequest."""
        data = self._file.read(size if 0 <= size <= DIRECTORY_BYTES else DIRECTORY_BYTES + 1)
        if len(data) > DIRECTORY_BYTES:
            raise _refused(f"its directory may hold {DIRECTORY_BYTES} bytes at most")
        return data


def _pictures(entries: list[zipfile.ZipInfo], room: Room, skip_others: bool) -> list[zipfile.ZipInfo]:
    """The entries that are pictures, by what the directory says. Raises InvalidRequest."""
    found, errors = [], list[FieldError]()
    for entry in entries:
        if entry.is_dir() or _is_hidden(entry.filename):
            continue
        if PurePosixPath(entry.filename).suffix.lower() not in SUFFIXES:
            if not skip_others:
                errors.append(_error(entry, "not a picture by its name; others=skip leaves such files out"))
            continue
        if reason := _fault(entry, room):
            errors.append(_error(entry, reason))
        found.append(entry)
    if errors:
        raise InvalidRequest(
            f"{len(errors)} files of the archive cannot be taken; correct them and send it again.",
            errors=tuple(errors[:MOST_ERRORS]),
        )
    if not found:
        raise _refused("it holds no picture")
    if len(found) > room.pictures:
        raise _refused(f"a job may hold {room.pictures} pictures at most")
    if sum(entry.file_size for entry in found) > room.total_bytes:
        raise _refused(f"its pictures may hold {room.total_bytes} bytes in all")
    _refuse_overlaps(found)
    return found


def _fault(entry: zipfile.ZipInfo, room: Room) -> str | None:
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted"
    if entry.compress_type not in _METHODS:
        return "compressed in a way that is not read here: use deflate, or none"
    if entry.file_size == 0:
        return "the picture is empty"
    if entry.file_size > room.image_bytes:
        return f"a picture may hold {room.image_bytes} bytes at most"
    return None


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise _entry_refused(entry, "it overlaps another file")
        end = entry.header_offset + _HEADER_BYTES + entry.compress_size


def _is_hidden(path: str) -> bool:
    """What systems put into archives on their own, and nobody means to send."""
    parts = path.split("/")
    return "__MACOSX" in parts or parts[-1].lower() in _SYSTEM_FILES or any(part.startswith(".") for part in parts
                                                                              if part not in (".", ".."))  # fmt: skip


def _name(entry: zipfile.ZipInfo) -> str:
    """The picture's id: its path in the archive; of one that is too long the end, which tells more."""
    return entry.filename[-ID_LENGTH:]


def _error(entry: zipfile.ZipInfo, reason: str) -> FieldError:
    return FieldError(f"file/{_name(entry)}", reason)


def _entry_refused(entry: zipfile.ZipInfo, reason: str) -> InvalidRequest:
    return InvalidRequest("A file of the archive cannot be taken.", errors=(_error(entry, reason),))


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest("Correct the archive and send it again.", errors=(FieldError("file", reason),))

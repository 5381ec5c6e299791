"""A picture file -> only those parts of it that its pixels need, and how the picture lies.

Pillow reads metadata in Python: a file of small parts keeps it busy for minutes and takes memory that no pixel count
foretells. So comments, colour profiles, EXIF, XMP, text and all frames after the first are left out before Pillow sees
the file; of EXIF one number is kept. Knows the containers of JPEG, PNG, WEBP and GIF, and nothing of their pixels: what
is damaged is passed on as it is, for the decoder to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from struct import error as CutShort
from struct import pack, unpack_from

from shared.errors import InvalidImage

MAX_PARTS = 10_000
"""Segments of a JPEG, or chunks of a WEBP. 20 MB of metadata in segments of the largest size are some 300."""
MAX_CHUNKS = 65_536
"""Chunks of a PNG, and sub-blocks before a GIF's first frame. A PNG of 20 MB in libpng's chunks of 8 kB has 2,500."""
MAX_SCANS = 100
"""Scans of a JPEG. libjpeg goes over the whole picture for each, however short: one of 80 bytes costs 2 ms at 49
megapixels. Progressive pictures have about ten."""
MAX_TAGS = 1000
EXIF_MARK = b"Exif\0\0"
UPRIGHT = 1


@dataclass(frozen=True)
class Bare:
    """What is left of a file.

    Attributes:
        data: a file of the same format, with the same pixels in its first frame.
        orientation: EXIF 2.32 tag 0x0112, 1..8; 1 (as it is) where there is none or it is damaged.
    """

    data: bytes
    orientation: int = UPRIGHT


def jpeg(data: bytes) -> Bare:
    """Without APP1 to APP13, APP15 and COM before the first scan; APP0 and APP14 say how colours are coded.

    Source: ITU T.81 annex B. Like libjpeg, skips bytes that belong to no segment.

    Raises:
        InvalidImage: more segments or scans than any picture needs.
    """
    kept, orientation, components, progressive = [data[:2]], UPRIGHT, 0, False
    for marker, start, end in _segments(data, 2):
        if marker == 0xDA:
            if progressive or data[start + 4] < components:
                _refuse_many_scans(data, start)
            kept.append(data[start:])
            break
        if marker in _FRAMES:
            progressive, components = marker in _PROGRESSIVE, data[start + 9]
        if marker == 0xE1 and orientation == UPRIGHT and data.startswith(EXIF_MARK, start + 4):
            orientation = exif_orientation(data[start + 4 : end])
        if marker not in _METADATA:
            kept.append(data[start:end])
    return Bare(b"".join(kept), orientation)


_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed zero, nor padding, nor a restart
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_METADATA = (frozenset(range(0xE1, 0xF0)) - {0xEE}) | {0xFE}
_ALONE = frozenset({0x01, 0xD8, 0xD9})


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment from `at` on; entropy-coded data lies between them."""
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, start = data[found.end() - 1], found.start()
        at = found.end()
        if marker not in _ALONE:
            (length,) = unpack_from(">H", data, at)
            if length < 2:  # what is left would be read in another way than here
                raise InvalidImage("The JPEG picture has a segment without a length.")
            at += length
        yield marker, start, at
    raise InvalidImage(f"The JPEG picture has more than {MAX_PARTS:,} segments.")


def _refuse_many_scans(data: bytes, at: int) -> None:
    scans = 0
    for marker, _, _ in _segments(data, at):
        if marker == 0xD9:
            return
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            raise InvalidImage(f"The JPEG picture has more than {MAX_SCANS} scans.")


def png(data: bytes) -> Bare:
    """Header, palette, transparency, pixels and end alone.

    Source: PNG, third edition, section 5 and 11.

    Raises:
        InvalidImage: more chunks than any picture needs.
    """
    kept, orientation, at = [data[:8]], UPRIGHT, 8
    for _ in range(MAX_CHUNKS):
        length, kind = unpack_from(">I4s", data, at)
        end = at + length + 12
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        elif kind == b"eXIf" and orientation == UPRIGHT:
            orientation = exif_orientation(data[at + 8 : end - 4])
        if kind == b"IEND" or end + 8 > len(data):
            return Bare(b"".join(kept), orientation)
        at = end
    raise InvalidImage(f"The PNG picture has more than {MAX_CHUNKS:,} chunks.")


_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def webp(data: bytes) -> Bare:
    """Header, pixels and the first frame alone.

    Source: RFC 9649, section 2.

    Raises:
        InvalidImage: more chunks than any picture needs.
    """
    kept, orientation, at, frames = list[bytes](), UPRIGHT, 12, 0
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            body = b"".join(kept)
            return Bare(b"RIFF" + pack("<I", len(body) + 4) + b"WEBP" + body, orientation)
        kind, length = unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if kind == b"VP8X":
            kept.append(data[at : at + 8] + bytes([data[at + 8] & _ALPHA_OR_ANIMATION]) + data[at + 9 : end])
        elif kind in _WEBP_KEPT or (kind == b"ANMF" and not frames):
            kept.append(data[at:end])
            frames += kind == b"ANMF"
        elif kind == b"EXIF" and orientation == UPRIGHT:
            orientation = exif_orientation(data[at + 8 : end])
        at = end
    raise InvalidImage(f"The WEBP picture has more than {MAX_PARTS:,} chunks.")


_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_ALPHA_OR_ANIMATION = 0x12


def gif(data: bytes) -> Bare:
    """Without the extensions before the first frame, except the one that says which colour is transparent.

    Source: GIF89a, sections 17 to 26. What follows the first frame stays, for nobody reads it.

    Raises:
        InvalidImage: more sub-blocks than any picture needs.
    """
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    head, control, left = data[:at], b"", MAX_CHUNKS
    while left > 0 and data[at] not in b",;":
        start, left = at, left - 1
        at += 1
        if data[start] == 0x21:  # else a byte that belongs to nothing, which Pillow passes over
            at += 1
            while left > 0 and data[at]:
                at, left = at + data[at] + 1, left - 1
            at += 1
            if data[start + 1] == 0xF9:
                control = data[start:at]
    if left <= 0:
        raise InvalidImage(f"The GIF picture has more than {MAX_CHUNKS:,} blocks before its first frame.")
    return Bare(head + control + data[at:])


def exif_orientation(exif: bytes) -> int:
    """The first directory's tag 0x0112 of an EXIF block, 1..8; 1 where it is missing or damaged.

    Source: TIFF 6.0, section 2; EXIF 2.32. Writers use BYTE, SHORT or LONG, and put the mark before it once or twice.
    """
    tiff = exif.removeprefix(EXIF_MARK).removeprefix(EXIF_MARK)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = unpack_from(order + "I", tiff, 4)
        (tags,) = unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * min(tags, MAX_TAGS), 12):
            tag, kind, count = unpack_from(order + "HHI", tiff, entry)
            if tag == 0x0112:
                (value,) = unpack_from(order + {1: "B", 3: "H", 4: "I"}.get(kind, "0s"), tiff, entry + 8)
                return value if count == 1 and value in range(1, 9) else UPRIGHT
    except CutShort:
        pass
    return UPRIGHT


BARE: Mapping[str, Callable[[bytes], Bare]] = {"JPEG": jpeg, "PNG": png, "WEBP": webp, "GIF": gif, "BMP": Bare}
"""By Pillow's format name. A BMP has nothing but a header and pixels.

Raises beside InvalidImage: struct.error or IndexError where a file ends within its headers.
"""

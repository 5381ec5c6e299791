"""Raw pixels of a tensor -> a picture file, so that a job can carry them. Knows no request."""

from __future__ import annotations

import struct
import zlib

from api.adapters.bodies import invalid

MAX_SIDE = 16_384
"""What the workers decode at most."""


def png(width: int, height: int, rgb: bytes) -> bytes:
    """Pixels of RGB, row by row from the top, 0..255 -> a PNG (ISO/IEC 15948): lossless, so the model sees the same.

    Raises InvalidRequest: the sizes do not fit.
    """
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and len(rgb) == width * height * 3):
        raise invalid("shape", f"{width} x {height} RGB pixels are not {len(rgb)} bytes, or too many")
    row = width * 3
    lines = b"".join(b"\0" + rgb[at : at + row] for at in range(0, len(rgb), row))  # 0: the row is not filtered
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type 2: RGB
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

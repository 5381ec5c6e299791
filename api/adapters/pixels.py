"""Raw pixels of a tensor -> a picture file, so that a job can carry them. Knows no request."""

from __future__ import annotations

import struct
import zlib
from itertools import chain
from typing import Any

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


def nested_png(rows: list[Any]) -> bytes:
    """Pixels as JSON has them, [height][width][3] of whole numbers 0..255 -> a PNG. Raises InvalidRequest."""
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    try:
        if any(len(row) != width for row in rows) or any(len(pixel) != 3 for row in rows for pixel in row):
            raise ValueError
        rgb = bytes(chain.from_iterable(chain.from_iterable(rows)))
    except (TypeError, ValueError):
        raise invalid("instances", "pixels must be [height][width][3] of whole numbers 0..255") from None
    return png(width, len(rows), rgb)

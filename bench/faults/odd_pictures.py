"""Pictures that are odd, damaged, or made to cost much: generated from a seed, none stored. Knows no decoder.

Each is a name and its bytes: the kinds of the five formats that are read, damage done to them at random places, and
bombs, whose small files stand for many pixels, much text or many parts.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable, Iterator
from struct import pack

import numpy as np
from PIL import Image

MODES = {
    "JPEG": ("L", "RGB", "CMYK"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P"), "BMP": ("1", "L", "P", "RGB"),
}  # fmt: skip
OPTIONS: dict[str, tuple[dict[str, object], ...]] = {
    "JPEG": ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 1}, {"restart_marker_blocks": 1}),
    "PNG": ({}, {"compress_level": 0}, {"optimize": True}), "WEBP": ({}, {"lossless": True}, {"quality": 1}),
    "GIF": ({}, {"interlace": False}), "BMP": ({},),
}  # fmt: skip


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file of a picture."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Of a PNG."""
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *, between: bytes = b"", laced: int = 0
) -> bytes:
    """A PNG by hand; `between` stands before its pixels."""
    head = chunk(b"IHDR", pack(">IIBBBBB", width, height, depth, colour, 0, 0, laced))
    return b"\x89PNG\r\n\x1a\n" + head + between + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def kinds(dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Every mode and option of every format, in all eight orientations, and animations."""
    for kind, modes in MODES.items():
        for mode in modes:
            for number, options in enumerate(OPTIONS[kind]):
                image = _noise(dice, mode)
                exif = Image.Exif()
                exif[0x0112] = dice.randint(0, 9)
                extra = {} if kind in ("GIF", "BMP") else {"exif": exif}
                yield f"{kind} {mode} {number}", saved(image, kind, **options, **extra)
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("JPEG", "PNG", "WEBP"):
            yield f"{kind} orientation {orientation}", saved(_noise(dice, "RGB"), kind, exif=exif)
    frames = [_noise(dice, "RGB", (24, 16)) for _ in range(300)]
    for kind in ("GIF", "WEBP", "PNG"):
        yield f"{kind} of 300 frames", saved(frames[0], kind, save_all=True, append_images=frames[1:])
    rows = b"\0" + bytes(60)
    for colour, depth in ((0, 1), (0, 2), (0, 4), (0, 16), (2, 16), (4, 16), (6, 16)):
        yield f"PNG colour {colour} depth {depth}", png(7, 5, depth, colour, rows * 5)
        yield f"PNG interlaced {colour} {depth}", png(7, 5, depth, colour, rows * 40, laced=1)


def _noise(dice: random.Random, mode: str, size: tuple[int, int] | None = None) -> Image.Image:
    width, height = size or (dice.randint(1, 90), dice.randint(1, 90))
    if mode == "I;16":
        return Image.frombytes(mode, (width, height), dice.randbytes(width * height * 2))
    return Image.frombytes("RGBA", (width, height), dice.randbytes(width * height * 4)).convert(mode)


def damage(good: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """A file with one to four things wrong: bits, bytes, lengths, cuts, doubled pieces, pieces of another file."""
    data = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        at, piece = dice.randrange(4, max(5, len(data))), dice.randint(1, 64)
        what = dice.choice(("bit", "bytes", "length", "cut", "drop", "double", "splice", "early"))
        if what == "bit" and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif what == "early":  # in the headers
            at = dice.randrange(4, min(64, max(5, len(data))))
            data[at : at + 1] = dice.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\1"))
        elif what == "bytes":
            data[at : at + piece] = dice.randbytes(piece)
        elif what == "length":
            data[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\0\0\xff\xff"))
        elif what == "cut":
            del data[max(at, 16) :]
        elif what == "drop":
            del data[at : at + piece]
        elif what == "double":
            data[at:at] = data[at : at + piece * 8]
        else:
            other = dice.choice(others)
            start = dice.randrange(len(other))
            data[at : at + piece] = other[start : start + piece * 4]
    return bytes(data)


def bombs() -> dict[str, Callable[[], bytes]]:
    """Small files that stand for much, by name; made when called, since some take a second."""
    jpeg = saved(Image.new("RGB", (64, 64)), "JPEG")
    gif = saved(Image.new("P", (8, 8)), "GIF")
    small = b"\0" + bytes(8)
    return {
        "PNG of 81 megapixels in 10 kB": lambda: png(9000, 9000, 1, 0, (b"\0" + bytes(1125)) * 9000),
        "PNG of 49 megapixels, 1 bit": lambda: png(7000, 7000, 1, 0, (b"\0" + bytes(875)) * 7000),
        "PNG of 49 megapixels, RGBA": lambda: png(7000, 7000, 8, 6, (b"\0" + bytes(28_000)) * 7000),
        "PNG of 49 megapixels, 16 bits": lambda: png(7000, 7000, 16, 0, (b"\0" + bytes(14_000)) * 7000),
        "PNG of 4 thousand million pixels": lambda: png(65_535, 65_535, 1, 0, b""),
        "PNG of 2^31 columns": lambda: png(2**31 - 1, 1, 8, 2, b""),
        "PNG of 300 megabytes behind its end": lambda: png(8, 8, 8, 0, small * 8 + bytes(300_000_000)),
        "PNG with 60 MB of text": lambda: png(8, 8, 8, 0, small * 8, between=_packed(b"zTXt", 1_000_000) * 60),
        "PNG with a profile of 100 MB": lambda: png(8, 8, 8, 0, small * 8, between=_packed(b"iCCP", 100_000_000)),
        "PNG of 500,000 chunks": lambda: png(8, 8, 8, 0, small * 8, between=chunk(b"abCd", b"") * 500_000),
        "JPEG of 49 megapixels": lambda: saved(Image.new("RGB", (7000, 7000)), "JPEG"),
        "JPEG of 49 megapixels, progressive, CMYK": lambda: saved(
            Image.new("CMYK", (7000, 7000)), "JPEG", progressive=True
        ),
        "JPEG of 10,000 scans": lambda: _scans(10_000),
        "JPEG of a million segments": lambda: jpeg[:2] + b"\xff\xe5\0\2" * 1_000_000 + jpeg[2:],
        "JPEG with EXIF in 200,000 pieces": lambda: jpeg[:2] + b"\xff\xe1\0\x09Exif\0\0x" * 200_000 + jpeg[2:],
        "JPEG after 10 MB of padding": lambda: jpeg[:2] + b"\xff" * 10_000_000 + jpeg[2:],
        "WEBP of 49 megapixels, lossless": lambda: saved(
            Image.new("RGBA", (7000, 7000)), "WEBP", lossless=True, quality=0, method=0
        ),
        "GIF of 49 megapixels": lambda: saved(Image.new("P", (7000, 7000)), "GIF"),
        "GIF of 200,000 comments": lambda: gif[:6] + gif[6:13] + b"!\xfe\1x\0" * 200_000 + gif[13:],
        "BMP of 2^31 rows": lambda: b"BM" + pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 8, -(2**31), 1, 24, *[0] * 6),
        "BMP of 4 million runs": lambda: _runs(2048),
        "picture and page": lambda: jpeg + b"<html><script>alert(1)</script></html>",
        "page and picture": lambda: b"<html>" + jpeg,
        "picture and archive": lambda: saved(Image.new("RGB", (8, 8)), "PNG") + b"PK\3\4" + bytes(1000),
        "vector graphics": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>",
        "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop",
        "TIFF": lambda: saved(Image.new("RGB", (8, 8)), "TIFF"),
        "nothing": lambda: b"",
    }


def _packed(kind: bytes, size: int) -> bytes:
    """A chunk of a PNG that unpacks to `size` bytes."""
    return chunk(kind, b"k\0\0" + zlib.compress(bytes(size), 9))


def _scans(many: int) -> bytes:
    """A grey progressive JPEG of 49 megapixels whose last scan, a few bytes of it, is there many times."""
    data = saved(Image.new("L", (7000, 7000)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start : start + 40] * many + b"\xff\xd9"


def _runs(side: int) -> bytes:
    """A run-length coded BMP of runs of one pixel."""
    body, at = np.tile(np.array([1, 5], np.uint8), side * side).tobytes(), 54 + 1024
    head = pack("<IHHI", at + len(body), 0, 0, at) + pack(
        "<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0
    )
    return b"BM" + head + bytes(1024) + body


def corpus(seed: int, many: int) -> Iterator[tuple[str, bytes]]:
    """All kinds, all bombs, and then damaged ones until there are `many`."""
    dice = random.Random(f"{seed}/pictures")
    sound = list(kinds(dice))
    yield from sound
    for name, make in bombs().items():
        yield name, make()
    files = [data for _, data in sound if len(data) < 100_000]
    for number in range(many - len(sound) - len(bombs())):
        yield f"damaged {number}", damage(dice.choice(files), files, dice)

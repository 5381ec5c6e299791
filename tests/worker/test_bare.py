"""What is left of a picture file: the same pixels, no metadata, and nothing that costs more than the picture."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable
from struct import error as CutShort
from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from shared.errors import InvalidImage
from tests.worker.encoding import encoded
from worker.bare import BARE, MAX_SCANS, Bare, exif_orientation
from worker.image import FORMATS, Decoder


def noise(height: int = 24, width: int = 36, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def tiff(order: str = "<", tag: int = 0x0112, kind: int = 3, count: int = 1, value: bytes = b"\6\0\0\0") -> bytes:
    """A TIFF directory with one entry (TIFF 6.0, section 2)."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + pack(order + "IHHHI", 8, 1, tag, kind, count) + value + b"\0\0\0\0"


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


PROFILE = bytes(range(256)) * 600
EXIF = b"Exif\0\0" + tiff()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/' tiff:Orientation='3'/>"
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("a", "b" * 10_000, zip=True)
TEXT.add_itxt("c", "d" * 10_000)
LAST = Image.new("RGB", (36, 24))
FILES: dict[str, tuple[bytes, int]] = {
    "plain jpeg": (encoded(noise(), "JPEG"), 1),
    "jpeg": (encoded(noise(), "JPEG", exif=EXIF, icc_profile=PROFILE, comment="x" * 9000, xmp=XMP), 6),
    "progressive jpeg": (encoded(noise(), "JPEG", progressive=True, exif=EXIF), 6),
    "grey jpeg": (encoded(noise(mode="L"), "JPEG", icc_profile=PROFILE), 1),
    "cmyk jpeg": (encoded(noise(mode="CMYK"), "JPEG", exif=EXIF), 6),
    "jpeg with restarts": (encoded(noise(80, 80), "JPEG", restart_marker_blocks=2), 1),
    "plain png": (encoded(noise(), "PNG"), 1),
    "png": (encoded(noise(), "PNG", exif=EXIF, icc_profile=PROFILE, pnginfo=TEXT), 6),
    "palette png": (encoded(noise(mode="P"), "PNG", transparency=3, exif=EXIF), 6),
    "animated png": (encoded(noise(), "PNG", save_all=True, append_images=[LAST]), 1),
    "plain webp": (encoded(noise(), "WEBP"), 1),
    "lossless webp": (encoded(noise(mode="RGBA"), "WEBP", lossless=True), 1),
    "webp": (encoded(noise(mode="RGBA"), "WEBP", exif=EXIF, icc_profile=PROFILE, xmp=XMP), 6),
    "animated webp": (
        encoded(noise(), "WEBP", save_all=True, append_images=[Image.new("RGB", (36, 24))], exif=EXIF),
        6,
    ),
    "plain gif": (encoded(noise(mode="P"), "GIF"), 1),
    "gif": (encoded(noise(mode="P"), "GIF", transparency=3, comment=b"x" * 9000, loop=0), 1),
    "animated gif": (encoded(noise(), "GIF", save_all=True, append_images=[LAST], loop=0), 1),
    "interlaced gif": (encoded(noise(mode="P"), "GIF", interlace=True), 1),
    "bmp": (encoded(noise(), "BMP"), 1),
}


def kind_of(data: bytes) -> str:
    return next(name for name, accepts in FORMATS.items() if accepts(data[:16]))


def bare(data: bytes) -> Bare:
    return BARE[kind_of(data)](data)


@pytest.mark.parametrize("name", FILES)
def test_the_first_frame_keeps_its_pixels_and_loses_its_metadata(name: str) -> None:
    data, orientation = FILES[name]
    found = bare(data)
    assert found.orientation == orientation
    with Image.open(io.BytesIO(data)) as whole, Image.open(io.BytesIO(found.data)) as left:
        assert (left.format, left.size, left.mode) == (whole.format, whole.size, whole.mode)
        np.testing.assert_array_equal(np.asarray(left.convert("RGBA")), np.asarray(whole.convert("RGBA")))
        left_over = set(left.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe"}
        assert not left_over & {"exif", "icc_profile", "xmp", "comment", "photoshop", "mp"}
        assert not getattr(left, "text", {})
    assert bare(found.data) == Bare(found.data), "once bare, nothing is left to take away"


@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_what_is_left_of_a_damaged_file_is_read_as_it_was_read_here(data: st.DataObject, name: str) -> None:
    """Otherwise a file could be built whose metadata turn up only after they were taken away."""
    damaged = bytearray(FILES[name][0])
    magic = {"WEBP": 12, "PNG": 8, "GIF": 6}.get(kind_of(bytes(damaged)), 3)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(magic, min(len(damaged) - 1, 400)))
        damaged[place] = data.draw(st.sampled_from([0, 1, 2, 9, 0x21, 0x2C, 0x3B, 0xD9, 0xDA, 0xE1, 0xF9, 0xFE, 0xFF]))
    try:
        found = bare(bytes(damaged[: data.draw(st.integers(magic, len(damaged)))]))
    except (InvalidImage, CutShort, IndexError):
        return
    if found.data[:3] in (b"\xff\xd8\xff", b"RIF", b"GIF", b"\x89PN", b"BM"):
        try:
            again = bare(found.data)
        except (CutShort, IndexError):  # it was cut short within a header: the decoder says so
            return
        assert again.data == found.data


# -- orientation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(1, "B3x"), (3, "H2x"), (4, "I")])
@pytest.mark.parametrize("marks", [0, 1, 2])
def test_every_writer_of_an_orientation_is_read(order: str, kind: int, code: str, marks: int) -> None:
    assert exif_orientation(b"Exif\0\0" * marks + tiff(order, kind=kind, value=pack(order + code, 8))) == 8


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"II*\0", tiff()[:18], tiff(kind=2), tiff(kind=999), tiff(count=2), tiff(count=0),
     tiff(tag=0x0113), tiff(value=b"\0\0\0\0"), tiff(value=b"\x09\0\0\0"), b"II*\0\xff\xff\xff\xff",
     b"II+\0" + tiff()[4:], b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 1200)],
)  # fmt: skip
def test_a_damaged_orientation_is_none(exif: bytes) -> None:
    assert exif_orientation(exif) == 1


@given(st.binary(max_size=200))
def test_any_bytes_have_an_orientation(exif: bytes) -> None:
    assert exif_orientation(b"MM\0*" + exif) in range(1, 9)


# -- files of many small parts ---------------------------------------------------------------------------------------


def within(data: bytes, at: int, many: bytes) -> bytes:
    return data[:at] + many + data[at:]


JPEG, PNG, WEBP, GIF = (FILES[f"plain {kind}"][0] for kind in ("jpeg", "png", "webp", "gif"))
GIF_BLOCKS = 13 + 3 * 256


def progressive(scans: int) -> bytes:
    """A grey progressive JPEG whose last scan is there many times."""
    data = encoded(noise(mode="L"), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    own = data.count(b"\xff\xda")
    return data[:-2] + data[start:-2] * (scans - own) + b"\xff\xd9"


FLOODS: dict[str, Callable[[], bytes]] = {
    "empty segments": lambda: within(JPEG, 2, segment(0xE5, b"") * 200_000),
    "EXIF in pieces": lambda: within(JPEG, 2, segment(0xE1, b"Exif\0\0x") * 200_000),
    "tables": lambda: within(JPEG, 2, segment(0xDB, bytes(65)) * 50_000),
    "scans": lambda: progressive(MAX_SCANS + 1),
    "segments between scans": lambda: progressive(3)[:-2] + segment(0xE5, b"\xff\xd9") * 50_000 + b"\xff\xd9",
    "empty chunks": lambda: within(PNG, 33, chunk(b"abCd", b"") * 200_000),
    "empty pixels": lambda: within(PNG, 33, chunk(b"IDAT", b"") * 200_000),
    "chunks of a webp": lambda: within(WEBP, 12, b"abcd\0\0\0\0" * 200_000),
    "comments": lambda: within(GIF, GIF_BLOCKS, b"!\xfe\1x\0" * 200_000),
    "sub-blocks": lambda: within(GIF, GIF_BLOCKS, b"!\xff" + b"\1x" * 200_000 + b"\0"),
    "bytes of no block": lambda: within(GIF, GIF_BLOCKS, b"\0" * 200_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_file_in_more_parts_than_a_picture_needs_is_refused_at_once(name: str) -> None:
    data, start = FLOODS[name](), time.process_time()
    with pytest.raises(InvalidImage, match="more than"):
        bare(data)
    assert time.process_time() - start < 1


def test_as_many_scans_as_allowed() -> None:
    data = progressive(MAX_SCANS)
    assert bare(data).data == data


def test_a_picture_after_the_end_has_its_scans_for_itself() -> None:
    """Phones append a second picture or a film, whose bytes look like scans."""
    data = progressive(20) + b"\xff\xda\0\2" * (2 * MAX_SCANS)
    assert bare(data).data == data


def test_padding_before_a_segment_costs_nothing() -> None:
    start = time.process_time()
    assert bare(within(JPEG, 2, b"\xff" * 5_000_000)).data == bare(JPEG).data
    assert bare(within(JPEG, 20, b"\0" * 5_000_000)).data == bare(JPEG).data
    assert time.process_time() - start < 1


@pytest.mark.parametrize("length", [0, 1])
def test_a_segment_without_a_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidImage, match="length"):
        bare(within(JPEG, 2, b"\xff\xe1" + pack(">H", length)))


def test_text_that_grows_a_thousandfold_is_never_unpacked() -> None:
    """60 kB that Pillow would make 60 MB of, and a profile of 1 GB in 1 MB."""
    text = b"".join(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9)) for _ in range(60))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(10_000_000), 9))
    assert bare(within(PNG, 33, text + profile)).data == PNG


def test_the_decoder_reads_bare_files_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bytes] = []
    monkeypatch.setattr("worker.image.Image.open", lambda file, **_: opened.append(file.getvalue()))
    for data, _ in FILES.values():
        with pytest.raises(InvalidImage):
            Decoder(1_000_000, 1 << 26).decode(data)
        assert opened.pop() == bare(data).data

"""Decoding of good and hostile pictures. Hostile files are made here, not stored."""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.errors import ImageTooLarge, InvalidImage, Overloaded
from tests.worker.encoding import encoded
from worker.image import BYTES_PER_PIXEL, Decoder
from worker.upright import BACKGROUND

DOG = Path(__file__).parents[1] / "pictures" / "dog.jpg"
MEGABYTE = 1 << 20


def noise(height: int = 24, width: int = 36) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, chunks: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A PNG by hand (PNG specification, 2nd edition, section 5), `chunks` between its header and its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    between = b"".join(chunk(kind, body) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + between + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_give_the_very_pixels(decoder: Decoder, kind: str) -> None:
    pixels = noise()
    found = decoder.decode(encoded(Image.fromarray(pixels), kind)).pixels
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_formats_give_the_picture(decoder: Decoder, kind: str, options: dict[str, object]) -> None:
    flat = np.full((20, 30, 3), (200, 40, 90), np.uint8)
    found = decoder.decode(encoded(Image.fromarray(flat), kind, **options)).pixels
    assert found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - flat).max() <= 3


def test_a_photo_agrees_with_opencv(decoder: Decoder) -> None:
    found = decoder.decode(DOG.read_bytes()).pixels
    other = cv2.imread(str(DOG))
    assert other is not None
    assert found.shape == (576, 768, 3)
    assert np.abs(found.astype(int) - other[:, :, ::-1]).mean() < 1  # two JPEG decoders differ by rounding


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_made_upright(decoder: Decoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(noise()), "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decoder.decode(data).pixels, np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_unknown_orientation_changes_nothing(decoder: Decoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise()
    np.testing.assert_array_equal(decoder.decode(encoded(Image.fromarray(pixels), "PNG", exif=exif)).pixels, pixels)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"]
)
def test_damaged_exif_does_not_spoil_the_picture(decoder: Decoder, exif: bytes) -> None:
    data = encoded(Image.fromarray(noise()), "JPEG", exif=exif)
    assert decoder.decode(data).pixels.shape == (24, 36, 3)


def test_16_bit_grey_is_scaled_by_257(decoder: Decoder) -> None:
    deep = np.array([[0, 128, 257, 32_768, 65_535]], np.uint16)
    found = decoder.decode(encoded(Image.fromarray(deep), "PNG")).pixels
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 1, 128, 255])
    assert (found == found[:, :, :1]).all()


def test_cmyk_becomes_rgb(decoder: Decoder) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = decoder.decode(encoded(red, "JPEG", quality=95)).pixels
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_the_background(decoder: Decoder, mode: str) -> None:
    image = Image.new(mode, (4, 2), (10, 20, 30, 0) if mode == "RGBA" else (10, 0))
    assert (decoder.decode(encoded(image, "PNG")).pixels == BACKGROUND).all()


def test_half_transparency_is_blended(decoder: Decoder) -> None:
    found = decoder.decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG")).pixels
    assert (found == 127).all()  # 255 * (1 - 128 / 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry(decoder: Decoder, kind: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 0)
    found = decoder.decode(encoded(image, kind, transparency=0)).pixels
    assert tuple(found[0, 0]) == BACKGROUND
    assert tuple(found[3, 3]) == (255, 0, 0)


def test_only_the_first_frame_of_an_animation(decoder: Decoder) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    found = decoder.decode(encoded(first, "GIF", save_all=True, append_images=[second])).pixels
    assert (found == (255, 0, 0)).all()


def test_a_truncated_jpeg_is_refused(decoder: Decoder) -> None:
    with pytest.raises(InvalidImage, match="cut short"):
        decoder.decode(DOG.read_bytes()[:60_000])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"II*\0\x08\0\0\0",
     b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM", b"\xff\xd8\xff" + bytes(1000)],
)  # fmt: skip
def test_what_is_no_picture_is_refused(decoder: Decoder, data: bytes) -> None:
    with pytest.raises(InvalidImage):
        decoder.decode(data)


@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]))
def test_damage_anywhere_ends_in_a_picture_or_in_invalid_image(data: st.DataObject, kind: str) -> None:
    good = bytearray(encoded(Image.fromarray(noise()), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    try:
        found = Decoder(1_000_000, 64 * MEGABYTE).decode(bytes(good[:cut])).pixels
    except (InvalidImage, ImageTooLarge):
        return
    assert found.dtype == np.uint8
    assert found.shape[2] == 3


def test_a_bomb_of_81_megapixels_in_10_kilobytes_is_refused_by_its_header(decoder: Decoder) -> None:
    bomb = png(9000, 9000, depth=1, colour=0, rows=(b"\0" + bytes(1125)) * 9000)
    assert len(bomb) < 12_000
    with pytest.raises(ImageTooLarge, match="50,000,000"):
        decoder.decode(bomb)


@pytest.mark.parametrize("size", [(1001, 1000), (1_500_000, 1), (2100, 1000)])  # Pillow warns, and fails beyond twice
def test_more_pixels_than_allowed(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge):
        Decoder(1_000_000, MEGABYTE).decode(png(*size, depth=8, colour=0, rows=b""))


def test_a_side_that_is_too_long(decoder: Decoder) -> None:
    with pytest.raises(ImageTooLarge, match="16,384"):
        decoder.decode(png(20_000, 1, depth=8, colour=0, rows=b""))


def test_exactly_as_many_pixels_as_allowed() -> None:
    assert Decoder(24 * 36, MEGABYTE).decode(encoded(Image.fromarray(noise()), "PNG")).pixels.shape == (24, 36, 3)


def test_decoding_waits_for_memory_and_gives_up() -> None:
    data = encoded(Image.fromarray(noise()), "PNG")
    decoder = Decoder(1_000_000, 24 * 36 * BYTES_PER_PIXEL["PNG"], wait_s=0.05)
    with decoder.budget.take(1), pytest.raises(Overloaded):
        decoder.decode(data)
    assert decoder.decode(data).pixels.shape == (24, 36, 3)


def test_a_picture_that_needs_more_than_all_memory_is_refused() -> None:
    data, needed = encoded(Image.fromarray(noise()), "PNG"), 24 * 36 * BYTES_PER_PIXEL["PNG"]
    assert Decoder(1_000_000, needed).decode(data).pixels.shape == (24, 36, 3)
    with pytest.raises(ImageTooLarge, match=f"{needed:,} bytes"):
        Decoder(1_000_000, needed - 1).decode(data)


def test_memory_is_given_on_and_a_giant_gets_it_alone() -> None:
    budget = Decoder(1_000_000, 100, wait_s=10).budget
    taken = threading.Event()

    def giant() -> None:
        with budget.take(1_000_000):
            taken.set()

    thread = threading.Thread(target=giant)
    with budget.take(1):
        thread.start()
        assert not taken.wait(0.05)
    thread.join(10)
    assert taken.is_set()

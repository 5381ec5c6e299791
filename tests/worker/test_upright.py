"""Colours and orientations against OpenCV, Pillow's own transposition, and formulas written out in numpy."""

from __future__ import annotations

import io
from struct import pack

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.worker.encoding import encoded
from tests.worker.test_image import png
from worker import upright as upright_module
from worker.image import Decoder
from worker.upright import upright

DECODER = Decoder(50_000_000, 1 << 28)
RNG = np.random.default_rng(11)


def by_opencv(data: bytes) -> NDArray[np.uint8]:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert found is not None
    return np.asarray(found[:, :, ::-1], np.uint8)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def on_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Porter and Duff's `over` on white: colour (H, W, 3), alpha (H, W), 0..255 each."""
    part = alpha[:, :, None] / 255
    return np.asarray(np.rint(colour * part + 255 * (1 - part)), np.uint8)


# -- orientation, in one piece and in bands --------------------------------------------------------------------------


@pytest.mark.parametrize("band", [1, 36 * 7, 36 * 24])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_in_bands_is_upright_as_a_whole(monkeypatch: pytest.MonkeyPatch, orientation: int, band: int) -> None:
    monkeypatch.setattr(upright_module, "BAND_PIXELS", band)
    image = Image.fromarray(RNG.integers(0, 256, (24, 36, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, "PNG", exif=exif))))
    found = upright(image, orientation)
    np.testing.assert_array_equal(found, np.asarray(turned))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_bands_change_no_colour(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    deep = Image.fromarray(RNG.integers(0, 65_536, (24, 36), np.uint16))
    image = (
        deep if mode == "I;16" else Image.fromarray(RNG.integers(0, 256, (24, 36, 4), np.uint8), "RGBA").convert(mode)
    )
    whole = upright(image, 5)
    monkeypatch.setattr(upright_module, "BAND_PIXELS", 100)
    np.testing.assert_array_equal(upright(image, 5), whole)


# -- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", [0, 3])
def test_grey_and_palettes_of_every_depth_are_those_of_opencv(depth: int, colour: int) -> None:
    width, height = 37, 11
    row = -(-width * depth // 8)
    rows = b"".join(b"\0" + RNG.bytes(row) for _ in range(height))
    data = png(width, height, depth, colour, rows, [(b"PLTE", RNG.bytes(3 << depth))] if colour == 3 else [])
    np.testing.assert_array_equal(DECODER.decode(data).pixels, by_opencv(data))


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_colour_are_read_to_one_level_of_the_exact_value(colour: int, channels: int) -> None:
    deep = RNG.integers(0, 65_536, (9, 13, channels), np.uint16)
    data = png(13, 9, 16, colour, b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep))
    exact = np.rint(deep / 257).astype(np.uint8)
    flat = exact[:, :, :3] if channels > 2 else np.repeat(exact[:, :, :1], 3, axis=2)
    wanted = on_white(flat, exact[:, :, -1]) if channels != 3 else flat
    assert difference(DECODER.decode(data).pixels, wanted) <= (1 if channels == 3 else 2)


def test_sixteen_bits_of_grey_are_exact_and_one_level_may_be_transparent() -> None:
    deep = RNG.integers(0, 65_536, (40, 40), np.uint16)
    deep[3, 4] = deep[30, 30] = 1234
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    wanted = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(DECODER.decode(png(40, 40, 16, 0, rows)).pixels[:, :, 1], wanted)
    wanted[deep == 1234] = 255
    found = DECODER.decode(png(40, 40, 16, 0, rows, [(b"tRNS", pack(">H", 1234))])).pixels
    np.testing.assert_array_equal(found[:, :, 1], wanted)


def test_alpha_is_laid_on_white_as_the_formula_says() -> None:
    pixels = RNG.integers(0, 256, (64, 64, 4), np.uint8)
    found = DECODER.decode(encoded(Image.fromarray(pixels, "RGBA"), "PNG")).pixels
    assert difference(found, on_white(pixels[:, :, :3], pixels[:, :, 3])) <= 1
    found = DECODER.decode(encoded(Image.fromarray(pixels, "RGBA"), "WEBP", lossless=True, exact=True)).pixels
    assert difference(found, on_white(pixels[:, :, :3], pixels[:, :, 3])) <= 1
    grey = Image.fromarray(pixels[:, :, 0]).convert("LA")
    grey.putalpha(Image.fromarray(pixels[:, :, 3]))
    found = DECODER.decode(encoded(grey, "PNG")).pixels
    assert difference(found, on_white(np.repeat(pixels[:, :, :1], 3, axis=2), pixels[:, :, 3])) <= 1


def test_a_palette_of_many_transparencies_and_a_transparent_colour() -> None:
    places = RNG.integers(0, 256, (20, 20), np.uint8)
    palette = RNG.integers(0, 256, (256, 3), np.uint8)
    alphas = RNG.integers(0, 256, 256, np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in places)
    chunks = [(b"PLTE", palette.tobytes()), (b"tRNS", alphas.tobytes())]
    assert (
        difference(DECODER.decode(png(20, 20, 8, 3, rows, chunks)).pixels, on_white(palette[places], alphas[places]))
        <= 1
    )
    pixels = palette[places]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    clear = (pixels == pixels[5, 5]).all(axis=2)
    found = DECODER.decode(png(20, 20, 8, 2, rows, [(b"tRNS", pixels[5, 5].astype(">u2").tobytes())])).pixels
    wanted = np.where(clear[:, :, None], np.uint8(255), pixels)
    np.testing.assert_array_equal(found, wanted)


def test_cmyk_is_what_the_formula_and_opencv_make_of_it() -> None:
    inks = np.kron(RNG.integers(0, 256, (4, 4, 4), np.uint8), np.ones((16, 16, 1), np.uint8))
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
    part = 1 - inks / 255
    wanted = np.rint(255 * part[:, :, :3] * part[:, :, 3:]).astype(np.uint8)
    found = DECODER.decode(data).pixels
    assert difference(found, wanted) <= 6
    assert difference(found, by_opencv(data)) <= 6


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_of_every_kind_agree_with_opencv(options: dict[str, object], mode: str) -> None:
    smooth = Image.fromarray(RNG.integers(0, 256, (9, 13, 3), np.uint8)).resize((131, 97), Image.Resampling.BICUBIC)
    data = encoded(smooth.convert(mode), "JPEG", **options)
    assert np.abs(DECODER.decode(data).pixels.astype(int) - by_opencv(data)).mean() < 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmps_agree_with_opencv(mode: str) -> None:
    data = encoded(Image.fromarray(RNG.integers(0, 256, (11, 37, 3), np.uint8)).convert(mode), "BMP")
    np.testing.assert_array_equal(DECODER.decode(data).pixels, by_opencv(data))

"""Decoding of good and hostile pictures, and the frame's geometry. Hostile files are made here, not stored."""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import pack
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.errors import ImageTooLarge, InvalidImage, Overloaded
from shared.manifest import Frame, Resize
from worker.image import BYTES_PER_PIXEL, Decoder, Placement, fit
from worker.upright import BACKGROUND

DOG = Path(__file__).parents[1] / "pictures" / "dog.jpg"
MEGABYTE = 1 << 20
FRAME = Frame(width=416, height=416)


@pytest.fixture(autouse=True)
def _bomb_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Pillow's process-wide limit back after each test: a Decoder sets it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(max_pixels=50_000_000, memory_bytes=1024 * MEGABYTE)


def noise(height: int = 24, width: int = 36) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


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
    found = decoder.decode(encoded(Image.fromarray(pixels), kind))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_formats_give_the_picture(decoder: Decoder, kind: str, options: dict[str, object]) -> None:
    flat = np.full((20, 30, 3), (200, 40, 90), np.uint8)
    found = decoder.decode(encoded(Image.fromarray(flat), kind, **options))
    assert found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - flat).max() <= 3


def test_a_photo_agrees_with_opencv(decoder: Decoder) -> None:
    found = decoder.decode(DOG.read_bytes())
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
    np.testing.assert_array_equal(decoder.decode(data), np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_unknown_orientation_changes_nothing(decoder: Decoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise()
    np.testing.assert_array_equal(decoder.decode(encoded(Image.fromarray(pixels), "PNG", exif=exif)), pixels)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"]
)
def test_damaged_exif_does_not_spoil_the_picture(decoder: Decoder, exif: bytes) -> None:
    data = encoded(Image.fromarray(noise()), "JPEG", exif=exif)
    assert decoder.decode(data).shape == (24, 36, 3)


def test_16_bit_grey_is_scaled_by_257(decoder: Decoder) -> None:
    deep = np.array([[0, 128, 257, 32_768, 65_535]], np.uint16)
    found = decoder.decode(encoded(Image.fromarray(deep), "PNG"))
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 1, 128, 255])
    assert (found == found[:, :, :1]).all()


def test_cmyk_becomes_rgb(decoder: Decoder) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = decoder.decode(encoded(red, "JPEG", quality=95))
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_the_background(decoder: Decoder, mode: str) -> None:
    image = Image.new(mode, (4, 2), (10, 20, 30, 0) if mode == "RGBA" else (10, 0))
    assert (decoder.decode(encoded(image, "PNG")) == BACKGROUND).all()


def test_half_transparency_is_blended(decoder: Decoder) -> None:
    found = decoder.decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG"))
    assert (found == 127).all()  # 255 * (1 - 128 / 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry(decoder: Decoder, kind: str) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 0)
    found = decoder.decode(encoded(image, kind, transparency=0))
    assert tuple(found[0, 0]) == BACKGROUND
    assert tuple(found[3, 3]) == (255, 0, 0)


def test_only_the_first_frame_of_an_animation(decoder: Decoder) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    found = decoder.decode(encoded(first, "GIF", save_all=True, append_images=[second]))
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
        found = Decoder(1_000_000, 64 * MEGABYTE).decode(bytes(good[:cut]))
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
    assert Decoder(24 * 36, MEGABYTE).decode(encoded(Image.fromarray(noise()), "PNG")).shape == (24, 36, 3)


def test_decoding_waits_for_memory_and_gives_up() -> None:
    data = encoded(Image.fromarray(noise()), "PNG")
    decoder = Decoder(1_000_000, 24 * 36 * BYTES_PER_PIXEL["PNG"], wait_s=0.05)
    with decoder.budget.take(1), pytest.raises(Overloaded):
        decoder.decode(data)
    assert decoder.decode(data).shape == (24, 36, 3)


def test_a_picture_that_needs_more_than_all_memory_is_refused() -> None:
    data, needed = encoded(Image.fromarray(noise()), "PNG"), 24 * 36 * BYTES_PER_PIXEL["PNG"]
    assert Decoder(1_000_000, needed).decode(data).shape == (24, 36, 3)
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


# -- the frame ------------------------------------------------------------------------------------------------------


def test_stretch_is_what_opencv_dnn_samples() -> None:
    image = noise(123, 457)
    frame, placement = fit(image, FRAME, "stretch", "linear")
    blob = cv2.dnn.blobFromImage(image, 1.0, (416, 416), swapRB=False, crop=False)
    np.testing.assert_array_equal(frame, blob[0].transpose(1, 2, 0))
    assert frame.dtype == np.uint8
    assert placement == Placement(457, 123)


def darknet_resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    """darknet's `resize_image` in words: corners on corners, along each axis the two nearest pixels by distance."""
    x = np.linspace(0, image.shape[1] - 1, width)
    y = np.linspace(0, image.shape[0] - 1, height)
    rows = np.stack(
        [[np.interp(x, np.arange(image.shape[1]), row[:, c]) for c in range(3)] for row in image.astype(float)]
    )
    out = [[np.interp(y, np.arange(image.shape[0]), rows[:, c, k]) for k in range(width)] for c in range(3)]
    return np.asarray(out).transpose(2, 1, 0)


@pytest.mark.parametrize(("height", "width"), [(13, 29), (64, 40), (1, 5), (5, 1), (1, 1)])
def test_darknet_interpolation_aligns_the_corners(height: int, width: int) -> None:
    image = noise(height, width)
    frame, _ = fit(image, Frame(width=32, height=24), "stretch", "darknet")
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, darknet_resize(image, 32, 24), atol=0.01)


@pytest.mark.parametrize("interpolation", ["linear", "darknet"])
def test_letterbox_pads_with_grey_as_darknet_does(interpolation: Literal["linear", "darknet"]) -> None:
    image = noise(424, 640)  # 424 * 416 // 640 = 275 rows, so 70 above and 71 below
    frame, placement = fit(image, FRAME, "letterbox", interpolation)
    grey = 127.5 if interpolation == "darknet" else 128
    assert (frame[:70] == grey).all()
    assert (frame[345:] == grey).all()
    assert (frame[70:345] != grey).any(axis=(1, 2)).all()
    assert placement == Placement(640, 424, offset=(0, (416 - 275) / 2 / 416), scale=(1, 275 / 416))


@pytest.mark.parametrize(("height", "width"), [(424, 640), (640, 424), (123, 457), (416, 416), (50, 30)])
def test_corner_is_what_yolox_samples(height: int, width: int) -> None:
    """YOLOX's `preproc` in words: one ratio for both axes, sizes cut to whole pixels, 114 to the right and below."""
    image = noise(height, width)
    frame, placement = fit(image, FRAME, "corner", "linear", 114)
    ratio = min(416 / height, 416 / width)
    inner = cv2.resize(image, (int(width * ratio), int(height * ratio)), interpolation=cv2.INTER_LINEAR)
    padded = np.full((416, 416, 3), 114, np.uint8)
    padded[: inner.shape[0], : inner.shape[1]] = inner
    np.testing.assert_array_equal(frame, padded)
    assert placement == Placement(width, height, scale=(inner.shape[1] / 416, inner.shape[0] / 416))


@pytest.mark.parametrize(("padding", "grey"), [(114, 114), (0, 0), (255, 255), (127.5, 128), (127.4, 127)])
@pytest.mark.parametrize("resize", ["letterbox", "corner"])
def test_bars_have_the_padding_of_the_model(resize: Literal["letterbox", "corner"], padding: float, grey: int) -> None:
    image = np.full((10, 20, 3), 55, np.uint8)
    frame, _ = fit(image, Frame(width=20, height=30), resize, "linear", padding)
    assert frame.dtype == np.uint8
    assert ((frame == 55).sum(), (frame == grey).sum()) == (600, 1200)
    exact, _ = fit(image, Frame(width=20, height=30), resize, "darknet", padding)
    assert exact[-1, -1].tolist() == pytest.approx([padding] * 3)


sides = st.integers(1, 3000)


@given(
    width=sides,
    height=sides,
    frame_width=st.integers(1, 64),
    frame_height=st.integers(1, 64),
    resize=st.sampled_from(["stretch", "letterbox", "corner"]),
)
def test_any_picture_fits_any_frame(
    width: int, height: int, frame_width: int, frame_height: int, resize: Resize
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    frame, placement = fit(image, Frame(width=frame_width, height=frame_height), resize, "linear", 114)
    assert frame.shape == (frame_height, frame_width, 3)
    assert 0 <= placement.offset[0] < 0.5
    assert 0 <= placement.offset[1] < 0.5
    if resize != "letterbox":
        assert placement.offset == (0, 0)
    seen = (frame == 0).all(axis=2).sum() / (frame_width * frame_height)
    assert seen == pytest.approx(placement.scale[0] * placement.scale[1])
    whole = np.array([[*placement.offset, *(np.array(placement.offset) + placement.scale)]], np.float32)
    np.testing.assert_allclose(
        placement.to_picture(whole), [[0, 0, width, height]], rtol=1e-4, atol=1e-3 * max(width, height)
    )

"""JPEGs decoded at a part of their size. Reference: block averages of the whole picture, computed here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from shared.errors import ImageTooLarge
from shared.manifest import Frame
from tests.worker.encoding import encoded
from worker.image import BYTES_PER_PIXEL, KEPT_BYTES_PER_PIXEL, Decoder

DOG = Path(__file__).parents[1] / "pictures" / "dog.jpg"
MEGABYTE = 1 << 20


def dog(width: int, height: int) -> Image.Image:
    return Image.open(DOG).resize((width, height), Image.Resampling.LANCZOS)


def square(side: int) -> Frame:
    return Frame(width=side, height=side)


def averages(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Each pixel of `size` (width, height) is the mean of the block that it stands for."""
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(
    ("size", "frame", "came"),
    [
        ((831, 831), 416, (831, 831)),
        ((832, 832), 416, (416, 416)),
        ((1920, 1080), 416, (960, 540)),
        ((4000, 3000), 416, (1000, 750)),
        ((3328, 3329), 416, (416, 417)),
        ((4000, 500), 416, (4000, 500)),
        ((801, 803), 100, (101, 101)),
        ((9000, 4000), 100, (1125, 500)),
    ],
)  # fmt: skip
def test_no_side_is_shorter_than_the_frame(
    decoder: Decoder, size: tuple[int, int], frame: int, came: tuple[int, int]
) -> None:
    found = decoder.decode(encoded(Image.new("RGB", size, (90, 120, 30)), "JPEG"), square(frame))
    assert found.pixels.shape == (came[1], came[0], 3)
    assert (found.width, found.height) == size
    assert found.whole == (came == size)


@pytest.mark.parametrize("part", [2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 60}])
def test_what_is_left_out_is_averaged(decoder: Decoder, part: int, options: dict[str, object]) -> None:
    data = encoded(dog(1536, 1152), "JPEG", **{"quality": 95} | options)
    size = (1536 // part, 1152 // part)
    found = decoder.decode(data, Frame(width=size[0], height=size[1]))
    assert found.pixels.shape == (size[1], size[0], 3)
    wanted = averages(decoder.decode(data).pixels, size)
    difference = np.abs(found.pixels.astype(int) - wanted)
    # libjpeg leaves out high frequencies instead of averaging pixels: equal but for the sharpest edges.
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(decoder: Decoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(dog(1600, 900), "JPEG", quality=95, exif=exif.tobytes())
    found, full = decoder.decode(data, square(225)), decoder.decode(data)
    assert (found.width, found.height) == (full.width, full.height) == full.pixels.shape[1::-1]
    assert found.pixels.shape == (*(side // 4 for side in full.pixels.shape[:2]), 3)
    wanted = averages(full.pixels, (full.width // 4, full.height // 4))
    assert np.abs(found.pixels.astype(int) - wanted).mean() < 1.5


def test_a_frame_that_is_no_square_is_turned_with_the_picture(decoder: Decoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 1600 x 800, seen 800 x 1600
    data = encoded(dog(1600, 800), "JPEG", exif=exif.tobytes())
    assert decoder.decode(data, Frame(width=200, height=400)).pixels.shape == (400, 200, 3)
    assert decoder.decode(data, Frame(width=400, height=200)).pixels.shape == (800, 400, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_colours_are_those_of_the_whole_picture(decoder: Decoder, mode: str) -> None:
    data = encoded(dog(1024, 1024).convert(mode), "JPEG", quality=95)
    found, full = decoder.decode(data, square(256)), decoder.decode(data)
    assert found.pixels.shape == (256, 256, 3)
    assert np.abs(found.pixels.astype(int) - averages(full.pixels, (256, 256))).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF"])
def test_other_formats_are_decoded_whole(decoder: Decoder, kind: str) -> None:
    assert decoder.decode(encoded(dog(640, 480), kind), square(64)).whole


def test_a_small_picture_has_the_very_pixels_that_it_has_without(decoder: Decoder) -> None:
    data = DOG.read_bytes()
    np.testing.assert_array_equal(decoder.decode(data, square(416)).pixels, decoder.decode(data).pixels)


@pytest.mark.parametrize(("frame", "part"), [(1000, 1), (500, 2), (250, 4), (125, 8)])
def test_it_takes_less_memory(frame: int, part: int) -> None:
    pixels = 1000 * 1000
    shrinks = BYTES_PER_PIXEL["JPEG"] - KEPT_BYTES_PER_PIXEL
    needed = round(pixels * (KEPT_BYTES_PER_PIXEL + shrinks / part**2))
    data = encoded(Image.new("RGB", (1000, 1000)), "JPEG")
    assert Decoder(pixels, needed).decode(data, square(frame)).pixels.shape == (1000 // part, 1000 // part, 3)
    with pytest.raises(ImageTooLarge, match=f"{needed:,} bytes"):
        Decoder(pixels, needed - 1).decode(data, square(frame))


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 700), height=st.integers(1, 700), frame=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    orientation=st.integers(1, 8),
)  # fmt: skip
def test_any_size_is_enough_and_has_the_shape_of_the_whole(
    width: int, height: int, frame: tuple[int, int], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.new("RGB", (width, height)), "JPEG", exif=exif.tobytes())
    found = Decoder(1_000_000, 64 * MEGABYTE).decode(data, Frame(width=frame[0], height=frame[1]))
    assert (found.width, found.height) == ((height, width) if orientation > 4 else (width, height))
    came = found.pixels.shape[1::-1]
    for got, side, most in zip(came, frame, (found.width, found.height), strict=True):
        assert min(side, most) <= got <= most
    parts = {part for part in (1, 2, 4, 8) if came == (-(-found.width // part), -(-found.height // part))}
    assert parts
    larger = 2 * min(parts)
    assert larger > 8 or found.width // larger < frame[0] or found.height // larger < frame[1]

"""The corpus of hostile pictures, without its largest ones, through the decoder in this process."""

from __future__ import annotations

import random

import pytest

from bench.faults.hostile_pictures import SMALL
from bench.faults.odd_pictures import bombs, damage, kinds
from shared.errors import ImageTooLarge, InvalidImage
from shared.manifest import Frame
from worker.image import Decoder

LARGE = {name for name in bombs() if "49 megapixels" in name or "300 megabytes" in name or "million runs" in name}
REFUSED = {
    "PNG of 81 megapixels in 10 kB", "PNG of 4 thousand million pixels", "PNG of 2^31 columns", "PNG of 500,000 chunks",
    "JPEG of 10,000 scans", "JPEG of a million segments", "JPEG with EXIF in 200,000 pieces", "GIF of 200,000 comments",
    "BMP of 2^31 rows", "page and picture", "vector graphics", "PostScript", "TIFF", "nothing",
}  # fmt: skip


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(50_000_000, 1 << 30)


@pytest.mark.parametrize("name", sorted(bombs().keys() - LARGE))
def test_a_bomb_is_answered(decoder: Decoder, name: str) -> None:
    data = bombs()[name]()
    if name in REFUSED:
        with pytest.raises((InvalidImage, ImageTooLarge)):
            decoder.decode(data)
    else:
        assert decoder.decode(data).pixels.shape[2] == 3


@pytest.mark.parametrize("at_least", [None, SMALL])
def test_every_damaged_file_is_answered(decoder: Decoder, at_least: Frame | None) -> None:
    answers = {True: 0, False: 0}
    dice = random.Random(5)
    files = [data for _, data in kinds(dice) if len(data) < 100_000]
    for _ in range(400):
        try:
            decoder.decode(damage(dice.choice(files), files, dice), at_least)
            answers[True] += 1
        except (InvalidImage, ImageTooLarge):
            answers[False] += 1
    assert min(answers.values()) > 50, "the damage is such that some pictures survive it and some do not"


def test_the_sound_ones_are_read_and_a_seed_makes_the_same_ones_again(decoder: Decoder) -> None:
    first, second = (list(kinds(random.Random(9))) for _ in range(2))
    assert first == second
    for _, data in first:
        assert decoder.decode(data).pixels.shape[2] == 3

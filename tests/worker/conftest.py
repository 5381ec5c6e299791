"""What the worker's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from worker.image import Decoder


@pytest.fixture(autouse=True)
def _pillow_limit() -> Iterator[None]:
    """A Decoder sets Pillow's process-wide pixel limit; no test sees that of another."""
    before = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = before


@pytest.fixture
def decoder() -> Decoder:
    """With a worker's own bounds."""
    return Decoder(max_pixels=50_000_000, memory_bytes=1024 << 20)


@pytest.fixture
def role() -> str:
    """Who the test's store logs in as."""
    return "worker"

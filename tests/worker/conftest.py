"""What the worker's tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _pillow_limit() -> Iterator[None]:
    """A Decoder sets Pillow's process-wide pixel limit; no test sees that of another."""
    before = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = before


@pytest.fixture
def role() -> str:
    """Who the test's store logs in as."""
    return "worker"

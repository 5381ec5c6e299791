"""Pictures of Pillow -> files, for tests of what reads them."""

from __future__ import annotations

import io

from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """In the format `kind`, by its Pillow name; `options` as its `save` takes them."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()

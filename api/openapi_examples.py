"""Request bodies as the OpenAPI document shows them: each can be sent as it is. Knows no route."""

from __future__ import annotations

from typing import Any

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR4nGNogAIGyhgAgIQgAQ2AJGEAAAAASUVORK5CYII="
"""A grey PNG of 8 by 8 pixels, as base64."""
BYTES = "the picture's bytes"
"""Stands for a file in a form."""


def example(value: object, kind: str = "application/json") -> dict[str, Any]:
    """`openapi_extra` of a route whose body is described already: an example beside the schema."""
    return {"requestBody": {"content": {kind: {"example": value}}}}

"""The adapters in the OpenAPI document: their errors, and two of them that share a path as one operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi

from api.openapi import BINARY
from api.openapi_examples import BYTES

_STATUSES = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504)


def errors(media_type: str, schema: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """`responses` of an adapter's router: every status that an error of ours can have, in the foreign form."""
    content = {media_type: {"schema": schema or {"type": "string"}}}
    return {
        status: {"description": "an error, as the other system says it", "content": content} for status in _STATUSES
    }


def answers(
    description: str, *fields: str, status: int = 200, several: bool = False
) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers with a JSON object that has these fields; `several`: or a list of them."""
    form: dict[str, Any] = {"type": "object", "required": list(fields)}
    schema = {"anyOf": [form, {"type": "array", "items": form}]} if several else form
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


ANNOTATED: dict[int | str, dict[str, Any]] = {
    200: {"description": "the picture with its objects", "content": {"image/jpeg": {"schema": {"type": "string"}}}}
}
"""`responses` of a route that answers with the drawn picture."""


def picture_form(
    file: str, fields: Mapping[str, dict[str, Any]] | None = None, **example: str | float
) -> dict[str, Any]:
    """`openapi_extra` of a route that takes a form with one picture in the field `file`.

    Args:
        fields: schemas of what may be beside it.
        example: of those.
    """
    schema = {"type": "object", "required": [file], "properties": {file: BINARY, **(fields or {})}}
    content = {"multipart/form-data": {"schema": schema, "example": {file: BYTES, **example}}}
    return {"requestBody": {"required": True, "content": content}}


def add_shared(document: dict[str, Any], routers: Iterable[APIRouter]) -> None:
    """Bring back, in place, what FastAPI drops: of two operations with one path and method it keeps the last."""
    for router in routers:
        for path, item in get_openapi(title="-", version="-", routes=router.routes)["paths"].items():
            for method, operation in item.items():
                kept = document["paths"][path][method]
                if kept["operationId"] != operation["operationId"]:
                    _merge(kept, operation)


def _merge(kept: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("summary", "description"):
        kept[name] = " / ".join(text for text in (kept.get(name), other.get(name)) if text)
    kept["tags"] = [*kept.get("tags", ()), *other.get("tags", ())]
    bodies = [one["requestBody"]["content"] for one in (kept, other) if "requestBody" in one]
    if bodies:
        every = all(one.get("requestBody", {}).get("required", False) for one in (kept, other))
        kept["requestBody"] = {
            "required": every, "content": {kind: form for body in bodies for kind, form in body.items()},
        }  # fmt: skip
    known = {(one["in"], one["name"]): one for one in (*other.get("parameters", ()), *kept.get("parameters", ()))}
    if known:
        kept["parameters"] = list(known.values())
    for status, response in other["responses"].items():
        there = kept["responses"].setdefault(status, response)
        there["content"] = _either(response.get("content", {}), there.get("content", {}))


def _either(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Content of both; of a media type that both have, the form of either."""
    merged = {**one, **other}
    for kind in one.keys() & other.keys():
        if one[kind] != other[kind]:
            forms = [form.get("schema", {}) for form in (one[kind], other[kind])]
            merged[kind] = {**one[kind], **other[kind], "schema": {"anyOf": forms}}
    return merged

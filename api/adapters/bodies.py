"""Bodies of other systems' requests -> fields, files and bytes, each with its bound. Knows no job."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from api.bodies import MAX_FIELDS
from shared.errors import BadJson, FieldError, InvalidRequest

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class File:
    """One uploaded file of a form."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """A form that was read: the last text of each field, and all files by field."""

    fields: Mapping[str, str]
    files: Mapping[str, Sequence[File]]

    def file(self, *names: str) -> File:
        """The first file in the first of these fields that has one. Raises InvalidRequest: none has."""
        for name in names:
            if found := self.files.get(name):
                return found[0]
        raise invalid(names[0], "the picture is missing: send it as a file in this field")


async def read_form(request: Request, most_files: int = 16) -> Form:
    """The form, read once a request. Raises InvalidRequest, BodyTooLarge."""
    known: Form | None = getattr(request.state, "foreign_form", None)
    if known is None:
        try:
            sent = await request.form(max_files=most_files, max_fields=MAX_FIELDS)
        except HTTPException as error:  # what Starlette makes of a MultiPartException inside an application
            raise InvalidRequest(f"The form cannot be read: {error.detail}") from None
        fields: dict[str, str] = {}
        files: dict[str, list[File]] = {}
        try:
            for name, value in sent.multi_items():
                if isinstance(value, UploadFile):
                    files.setdefault(name, []).append(File(value.filename or "", await value.read()))
                else:
                    fields[name] = value
        finally:
            await sent.close()
        known = request.state.foreign_form = Form(fields, files)
    return known


async def read_json(request: Request) -> Any:  # noqa: ANN401 - any JSON; the adapter checks it
    """The body, whatever its content type says. Raises BadJson, BodyTooLarge."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise BadJson("The body is not JSON.") from None


def from_base64(text: str | bytes, field: str, most: int) -> bytes:
    """A picture's bytes from base64, which may have line breaks or be a data URL.

    Raises InvalidRequest: it is not base64, empty, or longer than `most` bytes.
    """
    plain = text.encode(errors="replace") if isinstance(text, str) else text  # JSON may have half a character
    if plain[:5] == b"data:":
        plain = plain.partition(b",")[2]
    plain = b"".join(plain.split())
    if len(plain) * 3 // 4 > most + 2:
        raise invalid(field, f"a picture may hold {most} bytes at most")
    try:
        data = base64.b64decode(plain, validate=True)
    except binascii.Error:
        raise invalid(field, "not base64") from None
    if not data:
        raise invalid(field, "the picture is empty")
    return data


def invalid(field: str, reason: str) -> InvalidRequest:
    """A field of the foreign request that cannot be, by its foreign name."""
    return InvalidRequest(f"{field}: {reason}.", errors=(FieldError(field, reason),))


def number(text: str | None, field: str, default: float | None, least: float = 0.0, most: float = 1.0) -> float | None:
    """A number of a form or query within `least..most`; `default` where there is none. Raises InvalidRequest."""
    if text is None or text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        raise invalid(field, "must be a number") from None
    if not least <= value <= most:  # also not a number
        raise invalid(field, f"must be from {least:g} to {most:g}")
    return value

"""The forms of a job's body (JSON, multipart, raw picture, zip) -> one JobRequest and the bytes that came with it.

Bytes leave the request here: a base64 source or an uploaded file becomes an upload with a name. Those of an archive
stay on disk, for there may be more of them than memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from api.archives import MAGIC, Archive, Room
from shared.errors import BadJson, BodyTooLarge, FieldError, InvalidRequest, UnsupportedMedia
from shared.ids import is_kept, owns_upload, upload_id
from shared.schema import Base64Source, JobRequest, Options, StoredSource, UploadSource

_OPTION_NAMES = frozenset(Options.model_fields)
_JSON_FIELDS = frozenset({"options", "webhook", "metadata", "thresholds"})
_LIST_FIELDS = frozenset({"classes"})
_TEXT_FIELDS = frozenset({"model", "priority"})
_QUERY_ONLY = frozenset({"wait"})
MAX_FIELDS = 64
ZIP_TYPES = frozenset({"application/zip", "application/x-zip-compressed"})
SPOOL_BYTES = 1024 * 1024
"""More of an archive goes to disk."""


@dataclass(frozen=True)
class Submission:
    """A checked request, its sources without bytes, and the bytes by upload name: here, or those that an archive holds.

    Whoever has one with an archive closes that. `kept`: the fields that name uploads which were sent before, by name.
    """

    request: JobRequest
    sources: tuple[StoredSource, ...]
    uploads: dict[str, bytes]
    archive: Archive | None = None
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Allowed:
    """Whose job it is, and how much it may hold.

    Attributes:
        body_bytes: pictures of a form together; archives have a bound of their own (`BodyLimit`).
        unpacked_bytes: the pictures of an archive together.
    """

    owner: str
    pictures: int
    image_bytes: int
    body_bytes: int = 20 * 1024 * 1024
    unpacked_bytes: int = 200 * 1024 * 1024


async def read_submission(request: Request, allowed: Allowed) -> Submission:
    """Read `POST /jobs` whatever its content type.

    Raises:
        BadJson, InvalidRequest, UnsupportedMedia, BodyTooLarge, pydantic.ValidationError.
    """
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(await request.body(), allowed)
    if kind == "multipart/form-data":
        return await _from_form(request, allowed)
    if kind in ZIP_TYPES:
        fields = [(name, value) for name, value in request.query_params.multi_items() if name not in _QUERY_ONLY]
        return await _from_archive(_document(fields), await _on_disk(request), allowed)
    if kind.startswith("image/") or kind == "application/octet-stream":
        fields = [(name, value) for name, value in request.query_params.multi_items() if name not in _QUERY_ONLY]
        return from_pictures(_document(fields), [(await request.body(), None)], allowed, one=True)
    raise UnsupportedMedia(
        f"{kind!r} is not read here: send application/json, multipart/form-data, application/zip, "
        "or the picture itself as image/*."
    )


async def read_picture(request: Request, allowed: Allowed) -> bytes:
    """One picture: the raw body, or the only `file` of a form.

    Raises BadJson, InvalidRequest, UnsupportedMedia, BodyTooLarge.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pictures = await _from_form(request, replace(allowed, pictures=1))
        if pictures.archive is not None:
            pictures.archive.close()
            raise _invalid("file", "one picture, and no archive")
        return next(iter(pictures.uploads.values()))
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise UnsupportedMedia(f"{kind!r} is not read here: send a picture as image/*, or a form with one as `file`.")
    uploads: dict[str, bytes] = {}
    uploaded(await request.body(), None, allowed, uploads)
    return next(iter(uploads.values()))


def _from_json(body: bytes, allowed: Allowed) -> Submission:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:  # the second: lists in lists in lists
        raise BadJson(f"The body is not JSON: {error}." if body else "The body is empty; send a job as JSON.") from None
    parsed = JobRequest.model_validate(document)
    _check_count(len(parsed.sources), allowed.pictures)
    uploads: dict[str, bytes] = {}
    kept: dict[str, str] = {}
    sources: list[StoredSource] = []
    for index, source in enumerate(parsed.sources):
        where = "image" if parsed.image is not None else f"images.{index}"
        if not isinstance(source, Base64Source):
            if isinstance(source, UploadSource):
                if not is_kept(source.upload) or not owns_upload(allowed.owner, source.upload):
                    raise _invalid(f"{where}.upload", "no such upload")
                kept[source.upload] = f"{where}.upload"
            sources.append(source)
            continue
        name = upload_id(allowed.owner)
        uploads[name] = _decode(source.base64, f"{where}.base64", allowed.image_bytes)
        sources.append(UploadSource(upload=name, id=source.id))
    return Submission(parsed, tuple(sources), uploads, kept=kept)


def _decode(text: str, field: str, most: int) -> bytes:
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            raise _invalid(field, "a data URL must be data:image/...;base64,")
    if len(text) * 3 // 4 > most + 2:
        raise _invalid(field, f"a picture may hold {most} bytes at most")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error is one, and so is what is not ASCII
        raise _invalid(field, "not base64") from None
    if not data:
        raise _invalid(field, "the picture is empty")
    return data


async def _from_form(request: Request, allowed: Allowed) -> Submission:
    try:
        form = await request.form(max_files=allowed.pictures, max_fields=MAX_FIELDS)
    except HTTPException as error:  # what Starlette makes of a MultiPartException inside an application
        raise InvalidRequest(f"The form cannot be read: {error.detail}") from None
    parts = form.multi_items()
    uploads = [value for _, value in parts if isinstance(value, UploadFile)]
    fields = [(name, value) for name, value in parts if not isinstance(value, UploadFile)]
    try:
        if wrong := [name for name, value in parts if isinstance(value, UploadFile) and name != "file"]:
            raise _invalid(wrong[0], "pictures come in the field `file`, once or several times")
        if not uploads:
            raise _invalid("file", "the form holds no picture; add one in the field `file`")
        if any([await _is_archive(one) for one in uploads]):
            if len(uploads) > 1:
                raise _invalid("file", "an archive comes alone")
            return await _from_archive(_document(fields), uploads.pop().file, allowed)
        _check_count(len(uploads), allowed.pictures)
        if sum(one.size or 0 for one in uploads) > allowed.body_bytes:
            raise BodyTooLarge(
                f"The pictures of a form may hold {allowed.body_bytes} bytes; send more of them as a zip."
            )
        files = [(await one.read(), one.filename or None) for one in uploads]
    finally:
        for one in uploads:
            await one.close()
    return from_pictures(_document(fields), files, allowed, one=len(files) == 1)


async def _is_archive(upload: UploadFile) -> bool:
    head = await upload.read(len(MAGIC[0]))
    await upload.seek(0)
    return head in MAGIC


async def _on_disk(request: Request) -> IO[bytes]:
    """The body in a file without a name; a small one stays in memory."""
    file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the archive closes it
    try:
        held = bytearray()
        async for chunk in request.stream():
            held += chunk
            if len(held) >= SPOOL_BYTES:
                await asyncio.to_thread(file.write, bytes(held))
                held.clear()
        file.write(held)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def _from_archive(document: dict[str, Any], file: IO[bytes], allowed: Allowed) -> Submission:
    """A submission of the pictures in a zip; closes the file where it is none."""
    try:
        others = document.pop("others", None)
        if others not in (None, "skip"):
            raise _invalid("others", "skip, or nothing")
        if {"image", "images"} & set(document):
            raise _invalid("file", "give pictures as files or as sources, not both")
        room = Room(allowed.pictures, allowed.image_bytes, allowed.unpacked_bytes)
        archive = await asyncio.to_thread(Archive, file, allowed.owner, room, skip_others=others == "skip")
        request = JobRequest.model_validate({**document, "images": archive.sources})
    except BaseException:
        file.close()
        raise
    return Submission(request, archive.sources, {}, archive)


def from_pictures(
    document: Mapping[str, Any], files: Sequence[tuple[bytes, str | None]], allowed: Allowed, *, one: bool
) -> Submission:
    """A submission of pictures that came as bytes.

    Args:
        document: the other fields of a JobRequest, as JSON has them.
        files: bytes and name (it becomes the picture's `id`) of each.
        one: `image` instead of `images`.

    Raises InvalidRequest, pydantic.ValidationError.
    """
    uploads: dict[str, bytes] = {}
    sources: list[UploadSource] = []
    for data, filename in files:
        sources.append(uploaded(data, filename, allowed, uploads))
    if {"image", "images"} & set(document):
        raise _invalid("file", "give pictures as files or as sources, not both")
    pictures = {"image": sources[0]} if one else {"images": tuple(sources)}
    return Submission(JobRequest.model_validate({**document, **pictures}), tuple(sources), uploads)


def uploaded(data: bytes, filename: str | None, allowed: Allowed, uploads: dict[str, bytes]) -> UploadSource:
    """Give a picture's bytes a name of their own and put them into `uploads`. Raises InvalidRequest."""
    if not data:
        raise _invalid("file", "the picture is empty")
    if len(data) > allowed.image_bytes:
        raise _invalid("file", f"a picture may hold {allowed.image_bytes} bytes at most")
    name = upload_id(allowed.owner)
    uploads[name] = data
    return UploadSource(upload=name, id=filename[:200] if filename else None)


def _document(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Form fields or query -> the JSON form. Options may come flat (`threshold=0.4`) or as JSON in `options`."""
    document: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, text in fields:
        value: Any = text
        if name in _JSON_FIELDS:
            value = _json_field(name, text)
        elif name in _LIST_FIELDS:
            value = [*options.get(name, ()), *(part for part in text.split(",") if part)]
        elif name in _OPTION_NAMES or name not in _TEXT_FIELDS:
            value = _scalar(text)
        if name == "options":
            options = {**value, **options} if isinstance(value, Mapping) else {"options": value}
        elif name in _OPTION_NAMES:
            options[name] = value
        else:
            document[name] = value
    if options:
        document["options"] = options
    return document


def _json_field(name: str, text: str) -> Any:  # noqa: ANN401  (any JSON; pydantic checks it)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid(name, "not JSON") from None


def _scalar(text: str) -> Any:  # noqa: ANN401
    """A number, true or false as such; everything else stays text and is pydantic's to judge."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float | bool) else text


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise _invalid("images", f"a job may hold {most} pictures at most")


def _invalid(field: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Correct {field} and send it again.", errors=(FieldError(field, reason),))

"""Requests that no document describes: bodies that are broken below their schema, and parameters that are no text.

In: an operation of the document. Out: content types with bytes, and paths as they are sent. Knows no service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

DEEP = 100_000
LONG = 200_000
_FORM = "multipart/form-data; boundary=x"
_PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**30, 1e308, -0.0, float("nan"), float("inf"), "", " ", "\0", "\ud800", "\u202e",
    "null",
    "a" * LONG, "../../etc/passwd", "{{7*7}}", "http://[::1", "http://a:99999999/", "s3://", "data:,", "=", "\r\nX: y",
    [],
    {}, [[]], [None], {"": ""}, {"\0": 1}, {"\ud800": 1}, [[[[1]]]], ["a"] * 2000,
)  # fmt: skip
"""In the place of every value of an example."""

BODIES: tuple[tuple[str | None, bytes], ...] = (
    *(("application/json", body) for body in (
        b"", b" ", b"{", b"}", b"nul", b"null", b"[]", b"0", b'""', b"{}", b"NaN", b"1" * 5000, b"-", b'{"a":1e999}',
        b'{"a":1,"a":2}', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\x00", b'"\\ud800"', b"[" * DEEP, b'{"a":' * DEEP,
        b'{"image":{"url":' + b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"image":' * 500 + b"1" + b"}" * 500,
    )),
    *((kind, b"{}") for kind in (
        None, "", "a", "application/json;;;=", "application/json; charset=utf-16", "text/plain",
        "application/problem+json",
        "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x", "image/", "image/jpeg", "application/zip", "application/octet-stream",
        "a/b" * 2000,
    )),
    *((_FORM, body) for body in (
        b"", b"--x", b"--x--", b"--x\r\n\r\n\r\n--x--", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n\xff\xd8\xff', b"\0" * 100,
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"; filename="\xff"\r\n\r\na\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + b"a" * 5000 + b'"\r\n\r\na\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=nope\r\n\r\na\r\n--x--',
        b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\na\r\n--x--\r\n",
        b"".join(_PART % (b"f%d" % at, b"a") for at in range(1200)) + b"--x--\r\n",
        b"".join(_PART % (name, b"[" * 60_000) for name in (b"options", b"metadata", b"webhook", b"thresholds")),
        b"".join(_PART % (name, b"1" * 5000) for name in (b"threshold", b"deadline_s", b"min_confidence")) + b"--x--",
    )),
    ("application/zip", b"PK\x03\x04" + b"\xff" * 60), ("application/zip", b"PK\x05\x06" + b"\0" * 18),
    ("application/zip", b"PK\x05\x06" + b"\xff" * 18), ("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg",
    b"\xff\xd8\xff"),
    ("text/plain", b"=" * 99), ("text/plain", b"\xff" * 99), ("text/plain", b"data:image/png;base64,"),
)  # fmt: skip
"""Content type (None: not sent) and bytes."""

SEGMENTS = (
    "%00", "%ff", "%ed%a0%80", "%2e%2e", "..%2f..%2fjobs", "a%2fb", "%0d%0aX:%20y", "%F0%9F%92%A9", "a" * 9000, "-",
    "*",
    "{job}", "%25", "job_%00", "job_" + "a" * 65, "0", "-1", "1e9", "9" * 400, "%D9%A3", "null", "@", "a@b@c", "~",
    ";a=b",
)  # fmt: skip
"""In the place of every parameter of a path, as sent."""
QUERIES = (
    "%ff=%ff", "a=%00", "&&&===", "wait=%D9%A3", "limit=" + "9" * 5000, "after=" + "1" * 40, "metadata.=1",
    "metadata.%00=%00", "metadata.a=1&metadata.a=2", "options=" + "%5B" * 9000, "classes=" + "," * 20_000, "draw=maybe",
    "threshold=NaN", "confidence=inf&overlap=-inf", "max_detections=1e400", "image=http://%5B",
    "created_after=0000-00-00",
    "created_after=9999-12-31T23:59:59-12:00", "created_before=0001-01-01T00:00:00%2B14:00", "url=" + "a" * 9000,
    "model=%00", "format=%00", "state=%ff", "after=%D9%A3.job_a", "model=%ED%A0%80",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {"Prefer": "wait=" + "9" * 5000}, {"Prefer": "wait=\xb2"}, {"Idempotency-Key": "\xff"},
    {"Idempotency-Key": "a" * 300},
    {"If-None-Match": "\xff" * 500}, {"Last-Event-ID": "9" * 400}, {"Last-Event-ID": "\xb2-\xb2-q"}, {"Accept": "\xff"},
    {"Accept": "image/png;q=" + "9" * 400}, {"Accept": ";,;,=" * 500}, {"Content-Encoding": "gzip"},
    {"X-Request-Id": "\xff"},
    {"Content-Encoding": "br"}, {"Cache-Control": "\xff"}, {"Inference-Header-Content-Length": "\xb2"},
    {"Cookie": "\xff=;;"},
    {"Inference-Header-Content-Length": "9" * 5000}, {"Authorization": "Basic \xff"},
    {"Authorization": "Basic " + "=" * 99},
    {"Authorization": "Bearer \xb2"}, {"doods-auth-key": "\xff"}, {"Expect": "nothing"}, {"Host": "a" * 3000},
    {"X-Forwarded-For": "\xff"}, {"A" * 3000: "b" * 3000},
)  # fmt: skip


def spoiled(example: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON
    """A JSON example with one value or one name after the other replaced by something hostile."""
    for path in _places(example):
        for value in HOSTILE:
            yield json.dumps(_replaced(example, path, value)).encode("utf-8", "surrogatepass")


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    yield at
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from _places(child, (*at, name))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:  # noqa: ANN401
    if not path:
        return new
    if isinstance(value, Mapping):
        return {name: _replaced(child, path[1:], new) if name == path[0] else child for name, child in value.items()}
    return [_replaced(child, path[1:], new) if at == path[0] else child for at, child in enumerate(value)]


def paths(template: str, values: Mapping[str, str]) -> Iterator[str]:
    """The path with one parameter after the other spoiled, the others as given; and, whole, with odd queries."""
    names = [part.partition("}")[0] for part in template.split("{")[1:]]
    for name in names:
        for segment in SEGMENTS:
            yield filled(template, {**{one: quote(values[one], safe="") for one in names}, name: segment})
    whole = filled(template, {one: quote(values[one], safe="") for one in names})
    for query in QUERIES:
        yield f"{whole}?{query}"


def filled(template: str, values: Mapping[str, str]) -> str:
    """A path without parameters."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template

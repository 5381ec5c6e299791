"""What happens to every request before a route sees it, and to every answer after: an id for the log, a bound on the
body's real bytes, and headers that tell browsers to be careful.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.bodies import ZIP_TYPES
from shared import observe
from shared.errors import BodyTooLarge, ServiceBusy, SpotterError
from shared.ids import ulid

SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
LARGE_AT_ONCE = 2
"""Archives that one process reads and unpacks side by side."""
LARGE_RETRY_S = 2
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")

_REQUEST_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


class RequestId:
    """Takes a well-formed `X-Request-Id` or makes one; it is in the answer, in problems and in each log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else f"req_{ulid()}"
        token = observe.request_id.set(name)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            observe.request_id.reset(token)


class SafeHeaders:
    """Adds what keeps a browser from guessing types, framing, running or storing an answer (OWASP REST security).

    A header that the route set itself stays. `https`: the public address is https, so browsers are to keep to it.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = SAFE + ([HSTS] if https else [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in self._headers if one[0] not in there)]
            await send(message)

        await self._app(scope, receive, send_safe)


class BodyLimit:
    """Ends the reading of a body with `BodyTooLarge` at its announced length or at the byte that is one too many.

    Starlette's own middleware answers in plain text; this one raises, so that the answer is a problem like any other.

    Args:
        most_bytes: of a body.
        archive_bytes: of one that may be a job's archive, which lies on disk. Larger than `most_bytes` it must say its
            length beforehand, and only so many are here at once: `ServiceBusy`.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, archive_bytes: int) -> None:
        self._app, self._most, self._archive = app, most_bytes, archive_bytes
        self._large = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        announced = int(length) if length.isdigit() else 0
        large = announced > self._most and _may_be_archive(scope)
        most = self._archive if large else self._most
        if large and announced <= most and self._large >= LARGE_AT_ONCE:
            busy = ServiceBusy("Enough large uploads are under way; try again shortly.", retry_after_s=LARGE_RETRY_S)
            await self._app(scope, _raising(busy), send)
            return
        too_large = BodyTooLarge(f"The body may hold {most} bytes at most; send larger sets by URL or s3://.")
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            if announced > most:
                raise too_large
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise too_large
            return message

        self._large += large
        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._large -= large


def _may_be_archive(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").split(";")[0].strip().lower()
    return scope["path"].startswith("/jobs") and (kind in ZIP_TYPES or kind == "multipart/form-data")


def _raising(error: SpotterError) -> Receive:
    async def receive() -> Message:
        raise error

    return receive

"""What happens to every request before a route sees it: an id for the log, and a bound on the body's real bytes."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import observe
from shared.errors import BodyTooLarge
from shared.ids import ulid

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


class BodyLimit:
    """Ends the reading of a body with `BodyTooLarge` at its announced length or at the byte that is one too many.

    Starlette's own middleware answers in plain text; this one raises, so that the answer is a problem like any other.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        too_large = BodyTooLarge(f"The body may hold {self._most} bytes at most; send larger sets by URL or s3://.")
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            if announced.isdigit() and int(announced) > self._most:
                raise too_large
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise too_large
            return message

        await self._app(scope, receive_counted, send)

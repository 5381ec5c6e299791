"""The route of all adapters: every error in the foreign form, the job's id in a header, and two adapters with one path
told apart by content type. Knows no job and no body.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.allowed import methods_at, not_allowed
from api.problems import in_the_tree
from shared import observe
from shared.errors import RouteNotFound, SpotterError, UnsupportedMedia

JOB_HEADER = "X-Spotter-Job"
Writer = Callable[[SpotterError], Response]
"""An error of ours -> the foreign answer; `Retry-After` and other headers are added to it afterwards."""


def foreign_route(write: Writer, reads: Collection[str] = ()) -> type[APIRoute]:
    """The `route_class` of an adapter's router.

    Args:
        write: how the foreign system says that something went wrong: validation, keys, quotas, methods, all of it.
        reads: content types that `POST`s of this router are for; with others they leave the request to the next
            adapter that has the path, and answer 415 where there is none. Empty: any.
    """

    class ForeignRoute(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            match, child = super().matches(scope)
            if match is Match.FULL and not _is_read(scope, reads):
                return Match.PARTIAL, child
            return match, child

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            # A route that matched in part is handled only where none matched in full.
            methods = self.methods or set()
            if scope["method"] not in methods:
                wrong: SpotterError = not_allowed(scope["app"], scope["path"])
            elif not _is_read(scope, reads):
                wrong = UnsupportedMedia(f"Send it as {' or '.join(reads)}.")
            else:
                await super().handle(scope, receive, send)
                return
            await _written(write, wrong)(scope, receive, send)

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    response = await inner(request)
                except ClientDisconnect:
                    raise
                except Exception as error:
                    return _written(write, in_the_tree(error))
                if job := observe.job_id.get():
                    response.headers[JOB_HEADER] = job
                return response

            return answer

    return ForeignRoute


def nothing_there(request: Request, text: str) -> SpotterError:
    """The error of a route that takes any path: where there is a documented one, its methods are others."""
    path = request.scope["path"]
    return not_allowed(request.app, path) if methods_at(request.app, path) else RouteNotFound(text)


def _is_read(scope: Scope, reads: Collection[str]) -> bool:
    return not reads or scope["method"] != "POST" or content_type(Headers(scope=scope)) in reads


def content_type(headers: Mapping[str, str]) -> str:
    """The media type alone, in small letters; empty where none is named."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def _written(write: Writer, error: SpotterError) -> Response:
    response = write(error)
    response.headers.update(error.headers)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response

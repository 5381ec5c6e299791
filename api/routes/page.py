"""The web page at `/` and its parts below `/page/`; for programs `/` is a document that says where everything is.

The page holds nothing: what it shows it asks of the public interface, with the key that its reader gives it. So it is
the same for everybody. Its files are in api/page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.accepting import weight
from api.state import Shared, State
from shared.errors import Forbidden, RouteNotFound, Unauthorized

router = APIRouter(tags=["service"])

INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
"""Nothing from elsewhere, nothing inline; texts that came over the network cannot become markup."""
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
}
PLACES = {
    "jobs": "/jobs",
    "uploads": "/uploads",
    "models": "/models",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "alive": "/healthz",
    "ready": "/readyz",
    "metrics": "/metrics",
}


class Discovery(BaseModel):
    """What this is and where to go on.

    `models` and `default_model` are null for whoever may not list the models: without a key, where keys are asked for.
    """

    name: Literal["spotter"] = "spotter"
    version: str
    links: dict[str, str]
    default_model: str | None
    models: list[str] | None


@dataclass(frozen=True)
class Part:
    """A file of the page, and what makes it known: `tag` is a strong ETag of its bytes."""

    data: bytes
    media_type: str
    tag: str


@cache
def parts() -> Mapping[str, Part]:
    """All files of the page by name, read once."""
    read = {path.name: path.read_bytes() for path in (files("api") / "page").iterdir() if _type(path.name)}
    return {
        name: Part(data, _type(name) or "", f'"{hashlib.sha256(data).hexdigest()[:32]}"') for name, data in read.items()
    }


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "where everything is; for those who prefer HTML, the web page",
        "content": {"text/html": {"schema": {"type": "string"}}},
    },
    304: {"description": "the page with this ETag is still the newest"},
}


@router.head("/", include_in_schema=False)
@router.get("/", response_model=Discovery, responses=_ANSWERS)
async def front(request: Request, state: Shared) -> Response:
    """The web page for browsers (`Accept: text/html`), and for everybody else what this is and where to go on."""
    accept = request.headers.get("accept", "*/*")
    if weight(accept, "text/html") > weight(accept, "application/json"):
        return _answer(request, INDEX, {"Vary": "Accept", "Content-Security-Policy": POLICY})
    base_url = state.settings.base_url or ""
    shown = await _may_see_models(request, state)
    found = Discovery(
        version=request.app.version,
        links={name: f"{base_url}{path}" for name, path in PLACES.items()},
        default_model=state.settings.default_model if shown else None,
        models=[one.name for one in (await state.known_models()).values() if one.versions] if shown else None,
    )
    return Response(found.model_dump_json(), 200, {"Vary": "Accept, Authorization"}, "application/json")


@router.head("/page/{part}", include_in_schema=False)
@router.get("/page/{part}", include_in_schema=False)
async def page_part(request: Request, part: str) -> Response:
    """A style, a script or a picture of the page. Raises RouteNotFound."""
    if part == INDEX or part not in parts():
        raise RouteNotFound(f"The page has no part {part[:80]!r}.")
    return _answer(request, part, {})


def _answer(request: Request, name: str, headers: dict[str, str]) -> Response:
    """The file, or 304 for who has it. Browsers ask each time, so that parts of two versions never meet."""
    part = parts()[name]
    sent = {"ETag": part.tag, "Cache-Control": "no-cache", **headers}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if part.tag in known or "*" in known:
        return Response(status_code=304, headers=sent)
    return Response(part.data, 200, sent, part.media_type)


async def _may_see_models(request: Request, state: State) -> bool:
    server = request.scope["server"]
    try:
        caller = await state.keys.caller(request.headers.get("authorization"), server[0] if server else "")
    except (Unauthorized, Forbidden):
        return False
    return "jobs:read" in caller.scopes


def _type(name: str) -> str | None:
    return TYPES.get(name.rpartition(".")[2])

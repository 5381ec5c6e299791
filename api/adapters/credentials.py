"""Where other systems' clients put a key: the place in a request -> what `api.scopes.requires` would find in the header
`Authorization`. Knows no key and no owner.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from fastapi import Request

from api.adapters.bodies import FORMS, read_form, read_json
from api.adapters.foreign import content_type

Place = Callable[[Request], Awaitable[str | None]]
"""Where a foreign client puts its key: reads it from the request."""


def in_header(name: str) -> Place:
    """The key is a header's whole value."""

    async def key(request: Request) -> str | None:
        return request.headers.get(name)

    return key


def in_query(name: str) -> Place:
    """The key is a parameter of the query."""

    async def key(request: Request) -> str | None:
        return request.query_params.get(name)

    return key


def in_form(name: str) -> Place:
    """The key is a field of the form; the form is read for it."""

    async def key(request: Request) -> str | None:
        if content_type(request.headers) not in FORMS:
            return None
        return (await read_form(request)).fields.get(name)

    return key


def in_json(name: str) -> Place:
    """The key is a text field of the JSON body; the body is read for it."""

    async def key(request: Request) -> str | None:
        document = await read_json(request)
        found = document.get(name) if isinstance(document, dict) else None
        return found if isinstance(found, str) else None

    return key


def key_in(*places: Place) -> Place:
    """Where `api.scopes.requires` looks for `Authorization`: the header (Bearer, or the password of Basic, which is how
    `http://:KEY@host/` comes), else the first of these places that has something.
    """

    async def authorization(request: Request) -> str | None:
        sent = request.headers.get("authorization", "")
        scheme, _, rest = sent.partition(" ")
        if scheme.lower() == "basic":
            return f"Bearer {_password(rest)}"
        if sent:
            return sent
        for place in places:
            if key := await place(request):
                return f"Bearer {key}"
        return None

    return authorization


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
    except ValueError:  # then it is no key, and is refused as such
        return ""

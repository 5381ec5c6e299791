"""Which methods a path has, whichever routes they come from: what `Allow` says in a 405 (RFC 9110, 15.5.6).

A router alone would name those of the first route that fits the path. Knows the routes and no request.
"""

from __future__ import annotations

from functools import lru_cache
from re import Pattern

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from shared.errors import MethodNotAllowed

_APPS = 8
"""One in a process; tests have more."""


def methods_at(app: FastAPI, path: str) -> tuple[str, ...]:
    """The methods of the documented routes that fit, in order; none where there is no such path."""
    return tuple(sorted({method for pattern, methods in _routes(app) if pattern.match(path) for method in methods}))


def not_allowed(app: FastAPI, path: str) -> MethodNotAllowed:
    """The error for a path that has other methods."""
    methods = ", ".join(methods_at(app, path))
    return MethodNotAllowed(f"This path has {methods}.", headers={"Allow": methods})


@lru_cache(_APPS)
def _routes(app: FastAPI) -> tuple[tuple[Pattern[str], frozenset[str]], ...]:
    """What takes any path, to say that nothing is there, is not in the document and not here."""
    return tuple(
        (compile_path(route.path)[0], frozenset(route.methods or ()))
        for route in iter_route_contexts(app.routes)
        if route.path and getattr(route.original_route, "include_in_schema", False)
    )

"""What a route asks of its caller, said in its signature: `caller: Reader`. Every route says it, or is in `PUBLIC`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from api.keys import Caller
from api.state import Shared
from shared.errors import Forbidden
from shared.keys import Scope

PUBLIC = frozenset(
    {"/", "/page/{part}", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/ui", "/1.0/ui"}
)
"""Paths that ask for no key: what a load balancer looks at, and pages that are the same for everybody. A test holds the
route table to it.
"""

SCOPE_OF: dict[Callable[..., Awaitable[Caller]], Scope] = {}
"""The dependencies that were made here, for the OpenAPI document and the test of the route table."""


async def _authorization(request: Request) -> str | None:
    return request.headers.get("authorization")


def requires(
    scope: Scope, authorization: Callable[[Request], Awaitable[str | None]] = _authorization
) -> Callable[[Request, Shared], Awaitable[Caller]]:
    """A dependency: the caller, who has a key with this scope. Raises Unauthorized, Forbidden, StoreUnavailable.

    `authorization` finds what else the header `Authorization` says: clients of other systems have their own places.
    """

    async def allowed(request: Request, state: Shared) -> Caller:
        server = request.scope["server"]
        caller = await state.keys.caller(await authorization(request), server[0] if server else "")
        if scope not in caller.scopes:
            raise Forbidden(
                f"This needs a key with the scope {scope}.",
                headers={"WWW-Authenticate": f'Bearer realm="spotter", error="insufficient_scope", scope="{scope}"'},
            )
        return caller

    SCOPE_OF[allowed] = scope
    return allowed


Reader = Annotated[Caller, Depends(requires("jobs:read"))]
Writer = Annotated[Caller, Depends(requires("jobs:write"))]
ModelWriter = Annotated[Caller, Depends(requires("models:write"))]
READS, METRICS, ADMIN = (Depends(requires(scope)) for scope in ("jobs:read", "metrics", "admin"))
"""For routers and routes as a whole: `dependencies=[ADMIN]`."""

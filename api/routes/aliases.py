"""Aliases of models, moved while the service runs: set, drop, look who follows. Contract: docs/api.md."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from api.keys import Caller
from api.offers import Offer, offers
from api.openapi import prefer, problems
from api.openapi_examples import example
from api.preferences import preferred_wait
from api.scopes import ModelWriter
from api.standing import Behind, Standing, Wanted, announced_and_set, settled, standing
from api.state import Shared, State
from shared.assignments import Assignment, assign, drop
from shared.errors import AliasNotFound, ModelNotFound, VersionNotLoaded
from shared.manifest import ALIAS, NAME, VERSION
from shared.reports import Fleet
from shared.schema import Strict, rfc3339
from shared.views import fleet

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/models", tags=["models"])

Model = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]
Alias = Annotated[str, Path(pattern=f"^{ALIAS.pattern}$")]


class AliasTarget(Strict):
    """What the alias shall mean: a version that a live worker has loaded."""

    version: Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]


class AliasView(BaseModel):
    """An alias of a model, and who follows.

    Attributes:
        version: what it is set to over HTTP, else what it means to most workers by their repositories; null: nothing.
        set_at: when it was set over HTTP; null where it is not.
        set_by: the owner of the key that asked for it.
        followed: live workers that have the model, and to which the alias means that.
        behind: the others of them.
    """

    model: str
    alias: str
    version: str | None
    set_at: str | None
    set_by: str | None
    followed: list[str]
    behind: list[Behind]


_WAITS: dict[str, Any] = {
    "parameters": [prefer("answer when every live worker has looked, after N (0..60) seconds at most")]
}
_BEHIND: dict[int | str, dict[str, Any]] = {
    202: {"model": AliasView, "description": "it is set, and `behind` says which workers do not follow, or not yet"}
}


@router.put(
    "/{name}/aliases/{alias}",
    response_model=AliasView,
    responses=_BEHIND | problems(404, 409, 429),
    openapi_extra=_WAITS | example({"version": "2"}),
)
async def set_alias(
    request: Request, response: Response, state: Shared, caller: ModelWriter, name: Model, alias: Alias, to: AliasTarget
) -> AliasView:
    """Let an alias mean a version that a live worker has loaded, in all workers, before what their repositories say.

    `default` answers where a job names no version. 200 when every live worker of the model follows, else 202; the same
    once more is harmless. Of two requests the later one holds.
    """
    seen = await state.store.run(fleet())
    _require_loaded(seen, name, to.version)
    edition = await state.store.run(assign(name, alias, to.version, caller.owner))
    logger.info("alias set", extra={"model": name, "alias": alias, "version": to.version, "owner": caller.owner})
    return await _answer(request, response, state, caller, Wanted(name, alias, to.version, edition))


@router.delete(
    "/{name}/aliases/{alias}",
    response_model=AliasView,
    responses=_BEHIND | problems(404, 409, 429),
    openapi_extra=_WAITS,
)
async def drop_alias(
    request: Request, response: Response, state: Shared, caller: ModelWriter, name: Model, alias: Alias
) -> AliasView:
    """Take back what was set over HTTP: the alias means again what the workers' repositories say, or nothing.

    200 when every live worker of the model follows, else 202. 404 where it is not set over HTTP.
    """
    edition = await state.store.run(drop(name, alias))
    if edition is None:
        raise AliasNotFound(
            f"{name}@{alias} is not set over HTTP; aliases of a repository go by `spotter models alias --remove` there."
        )
    logger.info("alias dropped", extra={"model": name, "alias": alias, "owner": caller.owner})
    return await _answer(request, response, state, caller, Wanted(name, alias, None, edition))


@router.get("/{name}/aliases/{alias}", response_model=AliasView, responses=problems(404))
async def look(state: Shared, caller: ModelWriter, name: Model, alias: Alias) -> AliasView:
    """What an alias means, who set it, and which live workers follow."""
    seen, assigned = await announced_and_set(state.store)
    one = assigned.find(name, alias)
    offer = offers(seen).get(name)
    version = one.version if one else (offer.version(alias) if offer else None)
    if version is None:
        raise AliasNotFound(f"{name} has no alias {alias}; PUT sets one.")
    wanted = Wanted(name, alias, version, one.edition if one else assigned.edition)
    return _view(wanted, one, offer, standing(seen, wanted))


async def _answer(request: Request, response: Response, state: State, caller: Caller, wanted: Wanted) -> AliasView:
    wait_s = preferred_wait(request.headers.get("prefer", ""))
    with ExitStack() as waiting:
        watch = waiting.enter_context(state.changes.watch(f"{wanted.model}@{wanted.alias}", only_final=False))
        if wait_s:
            waiting.enter_context(state.listeners.one_more(caller.owner))
            waiting.enter_context(watch.while_there(request.receive))
        seen, assigned = await settled(state.store, wanted, watch, wait_s or 0)
    state.forget_models()
    found = standing(seen, wanted)
    if found.behind:
        response.status_code = 202
    if found.settling:
        response.headers["Retry-After"] = "1"
    if wait_s is not None:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    return _view(wanted, assigned.find(wanted.model, wanted.alias), offers(seen).get(wanted.model), found)


def _view(wanted: Wanted, one: Assignment | None, offer: Offer | None, found: Standing) -> AliasView:
    by_repositories = offer.version(wanted.alias) if offer else None
    return AliasView(
        model=wanted.model,
        alias=wanted.alias,
        version=one.version if one else by_repositories,
        set_at=rfc3339(one.edition) if one else None,
        set_by=one.by if one else None,
        followed=list(found.followed),
        behind=list(found.behind),
    )


def _require_loaded(seen: Fleet, name: str, version: str) -> None:
    """Raises ModelNotFound, VersionNotLoaded."""
    known = offers(seen)
    if name not in known:
        raise ModelNotFound(f"No worker serves {name}; there are: {', '.join(known) or 'none yet'}.")
    served = [model for report in seen.live for model in report.models if model.name == name]
    loaded = sorted({one.version for model in served for one in model.loaded}, key=int)
    if version not in loaded:
        raise VersionNotLoaded(
            f"No live worker has {name}@{version} loaded; there are: {', '.join(loaded) or 'none'}. Loaded are the"
            " highest version, the default one, and those with an alias: put it into the workers' repositories and name"
            f" it there (`spotter models alias {name} candidate {version}`), then try again."
        )

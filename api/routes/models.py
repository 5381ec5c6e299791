"""The models that workers serve, with their versions, aliases, and what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from api.offers import Offer, offers
from api.openapi import problems
from api.scopes import READS
from api.state import Shared, State
from shared.assignments import assignments
from shared.errors import ModelNotFound
from shared.reports import Description, WorkerReport
from shared.schema import rfc3339
from shared.views import descriptions, fleet

router = APIRouter(tags=["models"], dependencies=[READS])


class Serving(BaseModel):
    """One live worker's way of running one version: pictures in one model run at most, runs side by side (`lanes`), the
    threads of a run that has the CPU for itself, and pictures that the worker prepares side by side (`concurrency`).
    """

    worker: str
    version: str
    provider: str
    precision: str
    max_batch: int
    lanes: int
    threads: int
    concurrency: int


class VersionView(BaseModel):
    """A loaded version; `classes` is how many labels it knows."""

    version: str
    sha256: str
    family: str
    classes: int
    frame: dict[str, int]


class Refused(BaseModel):
    """What a live worker could not load, and since when; `version` is null where the aliases cannot be read."""

    worker: str
    version: str | None
    reason: str
    at: str


class ModelView(BaseModel):
    """A model: what it finds, the frame that it sees (pixels), and who serves it now.

    `version`, `sha256`, `family`, `labels` and `frame` are those of the version that was asked for, else of the default
    one; null while that is not loaded anywhere. `aliases` are what most workers say, `assigned` what was set over HTTP,
    which goes before the workers' repositories.
    """

    name: str
    version: str | None
    sha256: str | None
    default: bool
    family: str | None
    labels: tuple[str, ...] | None
    frame: dict[str, int] | None
    aliases: dict[str, str]
    assigned: dict[str, str]
    versions: list[VersionView]
    workers: list[Serving]
    refused: list[Refused]


class ModelList(BaseModel):
    """All models, by name."""

    models: list[ModelView]


@router.get("/models", response_model=ModelList)
async def list_models(state: Shared) -> ModelList:
    """Every model that workers serve, with the live workers of each."""
    seen = await state.store.run(fleet())
    known = offers(seen)
    return ModelList(models=await _shown(state, [(offer, offer.default) for offer in known.values()], seen.live))


@router.get("/models/{name}", response_model=ModelView, responses=problems(404))
async def look(state: Shared, name: str) -> ModelView:
    """One model, by `name`, or with the labels of a certain version by `name@version` or `name@alias`."""
    seen = await state.store.run(fleet())
    known = offers(seen)
    plain, _, asked = name.partition("@")
    offer = known.get(plain)
    version = offer.version(asked) if offer and asked else (offer.default if offer else None)
    if offer is None or (asked and version is None):
        there = ", ".join(known if offer is None else (f"{plain}@{one}" for one in offer.versions))
        raise ModelNotFound(f"No worker serves {name}; there are: {there or 'none yet'}.")
    (shown,) = await _shown(state, [(offer, version)], seen.live)
    return shown


async def _shown(
    state: State, chosen: Sequence[tuple[Offer, str | None]], live: Sequence[WorkerReport]
) -> list[ModelView]:
    wanted = [f"{offer.name}@{version}" for offer, _ in chosen for version in offer.versions]
    described, assigned = await state.store.run(descriptions(wanted)), await state.store.run(assignments())
    return [
        _model(offer, version, assigned.versions(offer.name), described, live, state.settings.default_model)
        for offer, version in chosen
    ]


def _model(
    offer: Offer,
    version: str | None,
    assigned: dict[str, str],
    described: Mapping[str, Description],
    live: Iterable[WorkerReport],
    default_model: str,
) -> ModelView:
    own = [described[ref] for ref in (f"{offer.name}@{one}" for one in offer.versions) if ref in described]
    shown = described.get(f"{offer.name}@{version}")
    reports = list(live)
    return ModelView(
        name=offer.name,
        version=version,
        sha256=shown and shown.sha256,
        default=offer.name == default_model,
        family=shown and shown.family,
        labels=shown and shown.labels,
        frame=shown and _frame(shown),
        aliases=dict(offer.aliases),
        assigned=assigned,
        versions=[
            VersionView(
                version=one.version, sha256=one.sha256, family=one.family, classes=len(one.labels), frame=_frame(one)
            )
            for one in own
        ],
        workers=list(_serving(offer.name, reports)),
        refused=list(_refused(offer.name, reports)),
    )


def _frame(one: Description) -> dict[str, int]:
    return {"width": one.frame[0], "height": one.frame[1]}


def _serving(name: str, live: Iterable[WorkerReport]) -> Iterator[Serving]:
    for report in live:
        for model in report.models:
            for one in model.loaded if model.name == name else ():
                yield Serving(worker=report.worker, concurrency=report.concurrency, **one.model_dump())


def _refused(name: str, live: Iterable[WorkerReport]) -> Iterator[Refused]:
    for report in live:
        for model in report.models:
            for one in model.refused if model.name == name else ():
                at = rfc3339(one.at_ms) or ""
                yield Refused(worker=report.worker, version=one.version, reason=one.reason, at=at)

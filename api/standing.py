"""What live workers make of an alias: which mean the version that it was set to, and why others do not yet.

In: what the workers announce, and what is set in the store. Out: a `Standing`. Knows no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from api.changes import Watch
from shared.assignments import Assignments, assignments
from shared.errors import AliasChanged
from shared.manifest import DEFAULT_ALIAS
from shared.reports import Fleet, ServedModel, WorkerReport
from shared.store import AsyncJobStore
from shared.views import fleet

LOOK_S = 0.2
"""Between two looks while a request waits; a worker announces a change at once."""


class Behind(BaseModel):
    """A live worker to which the alias means something else than it should, and why; `version` null: nothing."""

    worker: str
    version: str | None
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What an alias shall mean: `version`, or, where that is None, what each repository says.

    `edition` is that of the change; who has followed it, or a later one, is in step.
    """

    model: str
    alias: str
    version: str | None
    edition: int


@dataclass(frozen=True)
class Standing:
    """Live workers that serve the model, by whether they follow. `settling`: some have not looked yet."""

    followed: tuple[str, ...]
    behind: tuple[Behind, ...]
    settling: bool


def meaning(served: ServedModel, alias: str) -> str | None:
    """The version that an alias means to a worker."""
    return served.default if alias == DEFAULT_ALIAS else served.aliases.get(alias)


def standing(seen: Fleet, wanted: Wanted) -> Standing:
    """Who follows, by what the workers last announced."""
    followed, behind, settling = list[str](), list[Behind](), False
    for report, served in _serving(seen, wanted.model):
        means = meaning(served, wanted.alias)
        if report.followed < wanted.edition:
            settling = True
            behind.append(Behind(worker=report.worker, version=means, reason="It has not looked yet."))
        elif wanted.version is None or means == wanted.version:
            followed.append(report.worker)
        else:
            behind.append(Behind(worker=report.worker, version=means, reason=_why(served, wanted.version)))
    return Standing(tuple(followed), tuple(behind), settling)


async def announced_and_set(store: AsyncJobStore) -> tuple[Fleet, Assignments]:
    """What the workers announce, and what is set. In this order: nobody has followed a change that is not seen here."""
    return await store.run(fleet()), await store.run(assignments())


async def settled(store: AsyncJobStore, wanted: Wanted, watch: Watch, wait_s: float) -> tuple[Fleet, Assignments]:
    """As `announced_and_set`, once every live worker has looked, or when `wait_s` is over, or the watch.

    Raises:
        AliasChanged: a later change of the same alias took this one's place.
    """
    deadline = time.monotonic() + wait_s
    while True:
        seen, assigned = await announced_and_set(store)
        _refuse_overtaken(assigned, wanted)
        left_s = deadline - time.monotonic()
        if not standing(seen, wanted).settling or watch.over or left_s <= 0:
            return seen, assigned
        await watch.change(min(LOOK_S, left_s))


def _serving(seen: Fleet, model: str) -> Iterator[tuple[WorkerReport, ServedModel]]:
    for report in seen.live:
        for served in report.models:
            if served.name == model:
                yield report, served


def _why(served: ServedModel, version: str) -> str:
    refused = next((one.reason for one in served.refused if one.version == version), None)
    if refused is not None:
        return f"It could not load version {version}: {refused}"
    return f"Its model repository has no version {version}."


def _refuse_overtaken(assigned: Assignments, wanted: Wanted) -> None:
    now = assigned.find(wanted.model, wanted.alias)
    if (now.edition if now else None) != (wanted.edition if wanted.version else None):
        means = f"version {now.version}" if now else "what the workers' repositories say"
        raise AliasChanged(f"Another request came later: {wanted.model}@{wanted.alias} is {means} now.")

"""What the routes of one API process share. Built once by `main.py`; routes get it as a dependency."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from api.admission import Admission
from api.changes import Changes
from api.events import Asked, Told
from api.idempotency import InFlight
from api.keys import Keys
from api.listeners import Listeners
from api.looks import Looks
from api.manifests import Manifests
from api.offers import Offer, offers, resolve
from shared.blobs import LargeBlobs
from shared.durability import Durability
from shared.errors import UnknownModel
from shared.queue import Waker
from shared.refusals import no_such_job
from shared.schema import INLINE_RESULTS
from shared.settings import Settings
from shared.store import AsyncJobStore
from shared.views import Snapshot, fleet, view

OFFERS_CACHE_S = 2.0
"""Less than the shortest `retire_s`: a version that is still in here is still loaded somewhere."""


@dataclass
class State:
    """The open connections and the settings, and the few questions that several routes ask of them."""

    settings: Settings
    store: AsyncJobStore
    waker: Waker
    changes: Changes
    large_blobs: LargeBlobs | None
    keys: Keys
    admission: Admission
    durability: Callable[[], Awaitable[Durability]]
    manifests: Manifests
    listeners: Listeners
    event_looks: Looks[Asked, Told | None]
    result_looks: Looks[Asked, Told | None]
    job_looks: Looks[str, Snapshot | None]
    in_flight: InFlight = field(default_factory=InFlight)
    _offers: dict[str, Offer] = field(default_factory=dict)
    _offers_at: float = -OFFERS_CACHE_S

    async def snapshot(self, job: str, owner: str) -> Snapshot:
        """Raises JobNotFound, also for another owner's job."""
        (found,) = await self.store.run(view([job], inline_results=INLINE_RESULTS, owner=owner))
        if found is None:
            raise no_such_job(job)
        return found

    async def shared_snapshot(self, job: str, owner: str) -> Snapshot:
        """The same, in one look with everybody else who asks just now: for those who wait, many at a time."""
        found = await self.job_looks.look(job)
        if found is None or found.spec.owner != owner:
            raise no_such_job(job)
        return found

    async def known_models(self) -> dict[str, Offer]:
        """What the workers serve, a moment old at most."""
        if time.monotonic() - self._offers_at > OFFERS_CACHE_S:
            self._offers = offers(await self.store.run(fleet()))
            self._offers_at = time.monotonic()
        return self._offers

    def forget_models(self) -> None:
        """Look anew the next time: this process knows that something changed."""
        self._offers_at = -OFFERS_CACHE_S

    async def reference(self, asked: str | None) -> str:
        """What a job that names `asked` waits for: `name` or `name@version`. Raises UnknownModel."""
        default = self.settings.default_model
        try:
            return resolve(asked, default, await self.known_models())
        except UnknownModel:  # it may be new: look again before refusing
            self.forget_models()
            return resolve(asked, default, await self.known_models())


async def _state(request: Request) -> State:
    state: State = request.state.spotter
    return state


def job_looks(store: AsyncJobStore) -> Looks[str, Snapshot | None]:
    """What `shared_snapshot` looks through."""

    async def ask(jobs: list[str]) -> list[Snapshot | None]:
        return await store.run(view(jobs, inline_results=INLINE_RESULTS))

    return Looks(ask)


Shared = Annotated[State, Depends(_state)]

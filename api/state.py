"""What the routes of one API process share. Built once by `main.py`; routes get it as a dependency."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from api.changes import Changes
from shared.blobs import LargeBlobs
from shared.errors import FieldError, JobNotFound, UnknownModel
from shared.queue import Waker
from shared.schema import INLINE_RESULTS, ServedModel
from shared.settings import Settings
from shared.store import AsyncJobStore
from shared.views import Snapshot, models, view

MODELS_CACHE_S = 2.0


@dataclass
class State:
    """The open connections and the settings, and the few questions that several routes ask of them."""

    settings: Settings
    store: AsyncJobStore
    waker: Waker
    changes: Changes
    large_blobs: LargeBlobs | None
    _models: dict[str, ServedModel] = field(default_factory=dict)
    _models_at: float = -MODELS_CACHE_S

    async def snapshot(self, job: str) -> Snapshot:
        """Raises JobNotFound."""
        (found,) = await self.store.run(view([job], inline_results=INLINE_RESULTS))
        if found is None:
            raise JobNotFound(f"There is no job {job}, or its results are no longer kept.")
        return found

    async def known_models(self) -> dict[str, ServedModel]:
        """What workers have ever served, a moment old at most."""
        if time.monotonic() - self._models_at > MODELS_CACHE_S:
            self._models = await self.store.run(models())
            self._models_at = time.monotonic()
        return self._models

    async def model_named(self, reference: str | None) -> str:
        """The name of the model that `name` or `name@version` means. Raises UnknownModel."""
        name, _, version = (reference or self.settings.default_model).partition("@")
        known = await self.known_models()
        # The default is taken on trust: its first worker may still be starting.
        if (name in known and version in ("", known[name].version)) or (
            name == self.settings.default_model and not version
        ):
            return name
        have = ", ".join(sorted(known)) or "none yet"
        raise UnknownModel(
            f"No worker serves {reference}; there are: {have}.", errors=(FieldError("model", "no such model"),)
        )


def _state(request: Request) -> State:
    state: State = request.state.spotter
    return state


Shared = Annotated[State, Depends(_state)]

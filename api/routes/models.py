"""The models that workers serve."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from api.openapi import JOB_ANSWERS
from api.state import Shared
from shared.errors import ModelNotFound
from shared.schema import ServedModel, WorkerReport
from shared.views import workers

router = APIRouter(tags=["models"])


class Serving(BaseModel):
    """One live worker's way of running the model."""

    worker: str
    version: str
    provider: str
    precision: str
    max_batch: int


class ModelView(BaseModel):
    """A model: what it finds, the frame that it sees (pixels), and who serves it now."""

    name: str
    version: str
    sha256: str
    default: bool
    labels: tuple[str, ...]
    frame: dict[str, int]
    workers: list[Serving]


class ModelList(BaseModel):
    """All models, by name."""

    models: list[ModelView]


@router.get("/models", response_model=ModelList)
async def list_models(state: Shared) -> ModelList:
    """Every model that a worker has served, with the live workers of each."""
    live = await state.store.run(workers())
    known = await state.known_models()
    return ModelList(models=[_shown(model, live, state.settings.default_model) for model in known.values()])


@router.get("/models/{name}", response_model=ModelView, responses={404: JOB_ANSWERS[404]})
async def look(state: Shared, name: str) -> ModelView:
    """One model."""
    known = await state.known_models()
    if name not in known:
        raise ModelNotFound(f"No worker serves {name}; there are: {', '.join(known) or 'none yet'}.")
    return _shown(known[name], await state.store.run(workers()), state.settings.default_model)


def _shown(model: ServedModel, live: list[WorkerReport], default: str) -> ModelView:
    return ModelView(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        default=model.name == default,
        labels=model.labels,
        frame={"width": model.frame[0], "height": model.frame[1]},
        workers=[
            Serving(
                worker=report.worker,
                version=served.version,
                provider=served.provider,
                precision=served.precision,
                max_batch=served.max_batch,
            )
            for report in live
            for served in report.models
            if served.name == model.name
        ],
    )

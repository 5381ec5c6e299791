"""For those who run the service: alive, ready, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from api.metrics import exposition
from api.scopes import METRICS
from api.state import Shared
from shared.errors import Overloaded
from shared.views import backlog, stats, workers

router = APIRouter(tags=["service"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """200 while the process answers at all."""
    return {"status": "alive"}


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "not ready, and why",
        "content": {"application/json": {"schema": {"type": "object", "required": ["status", "reason"]}}},
    }
}


@router.get("/readyz", responses=_NOT_READY)
async def ready(state: Shared, response: Response) -> dict[str, Any]:
    """200 when the store answers and a live worker serves the default model. `store`: how durable it is set up."""
    default = state.settings.default_model
    try:
        live, kept = await state.store.run(workers()), await state.durability()
    except Overloaded as error:
        response.status_code = 503
        return {"status": "not ready", "reason": error.detail}
    serving = sum(served.name == default and served.default is not None for report in live for served in report.models)
    if not serving:
        response.status_code = 503
        reason = f"no live worker serves {default}"
        return {"status": "not ready", "reason": reason, "workers": len(live), "store": kept.shown()}
    return {"status": "ready", "workers": len(live), "model": default, "store": kept.shown()}


_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", responses=_TEXT, response_class=Response, dependencies=[METRICS])
async def metrics(state: Shared) -> Response:
    """Prometheus text: the queue, the jobs, the workers and the stages of all workers."""
    store = state.store
    counters, behind, live = await store.run(stats()), await store.run(backlog()), await store.run(workers())
    return Response(exposition(counters, behind, live), media_type="text/plain; version=0.0.4; charset=utf-8")

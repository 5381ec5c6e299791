"""Composition root of the HTTP side: everything is built here, once, and closed here.

Run as `uvicorn api.main:create_app --factory`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems
from api.changes import Changes
from api.keys import Keys
from api.middleware import BodyLimit, RequestId
from api.openapi import add_components
from api.routes import admin, docs, jobs, models, ops, pictures, results
from api.state import State
from shared.blobs import large_blobs
from shared.connection import connect, connect_async
from shared.errors import StartupError
from shared.keys import Limits
from shared.observe import start_logging
from shared.queue import Waker, create_celery
from shared.settings import Settings, load
from shared.store import AsyncJobStore, JobStore
from shared.sweeper import Sweeper

FORM_OVERHEAD_BYTES = 65_536
"""Part headers and text fields of a form, beside the picture itself."""


class _Lifespan(TypedDict):
    spotter: State


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Opens no connection until its lifespan begins.

    Raises:
        SystemExit: the settings are not valid; the reason is on stderr.
    """
    if settings is None:
        try:
            settings = load()
        except StartupError as error:
            raise SystemExit(f"api: {error.detail}") from None
        start_logging("api", settings.log_level)
    chosen = settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[_Lifespan]:
        async with _opened(chosen) as state:
            yield {"spotter": state}

    app = FastAPI(
        title="Spotter",
        version=_version(),
        summary="Asynchronous object detection",
        lifespan=lifespan,
        openapi_url=None,  # routes/docs.py has it, behind a key where keys are asked for
    )
    app.add_middleware(BodyLimit, most_bytes=settings.max_body_bytes + FORM_OVERHEAD_BYTES)
    app.add_middleware(RequestId)
    problems.install(app)
    for routes in (jobs, pictures, results, models, ops, docs, admin):
        app.include_router(routes.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[State]:
    url = settings.redis_url.get_secret_value()
    client, blocking = connect_async(url, "api"), connect(url, "api-sweeper")
    celery = create_celery(url)
    waker, changes = Waker(celery), Changes(client)
    sweeper = Sweeper(
        JobStore(blocking),
        celery,
        waker,
        holder=f"api-{socket.gethostname()}-{os.getpid()}",
        interval_s=settings.sweep_s,
        max_attempts=settings.max_attempts,
    )
    waker.start()
    changes.start()
    sweeper.start()
    try:
        store = AsyncJobStore(client)
        yield State(settings, store, waker, changes, large_blobs(settings), _keys(store, settings))
    finally:
        sweeper.stop()
        waker.stop()
        await changes.stop()
        await client.aclose()
        blocking.close()
        celery.close()


def _keys(store: AsyncJobStore, settings: Settings) -> Keys:
    limits = Limits(
        rate=settings.owner_rate,
        burst=settings.owner_burst,
        open_jobs=settings.owner_open_jobs,
        waiting=settings.owner_waiting,
    )
    return Keys(store, asked=settings.auth == "keys", limits=limits)


def _version() -> str:
    try:
        return version("spotter-detect")
    except PackageNotFoundError:  # run from a folder that is not installed
        return "0"


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        app.openapi_schema = add_components(document)
    return app.openapi_schema

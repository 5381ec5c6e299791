"""Composition root of the HTTP side: everything is built here, once, and closed here.

Run as `python -m api.main --host 127.0.0.1 --port 8000`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypedDict

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems
from api.adapters import chosen
from api.adapters.document import add_shared
from api.admission import Admission
from api.changes import Changes
from api.connections import GuardedProtocol, Patience
from api.events import event_looks
from api.keys import Door, Keys
from api.listeners import Listeners
from api.manifests import manifests
from api.middleware import BodyLimit, RequestId, SafeHeaders
from api.openapi import complete
from api.resultpages import lines
from api.routes import (
    admin,
    aliases,
    docs,
    ends,
    events,
    exports,
    jobs,
    models,
    ops,
    page,
    pictures,
    results,
    uploads,
    webhooks,
)
from api.scopes import PUBLIC
from api.state import State, job_looks
from shared.blobs import large_blobs
from shared.collector import spare_collections
from shared.connection import connect, connect_async
from shared.durability import durability, refuse_eviction
from shared.errors import StartupError
from shared.keys import Limits
from shared.observe import start_logging
from shared.queue import Waker, create_celery
from shared.settings import Settings, load
from shared.store import AsyncJobStore, JobStore
from shared.sweeper import Sweeper

FORM_OVERHEAD_BYTES = 65_536
"""Part headers and text fields of a form, beside the picture itself."""


EX_CONFIG = 78
DRAIN_S = 10
"""Open requests get this long after SIGTERM."""
SPARE_DESCRIPTORS = 64
"""For the store, the broker and files, beside the connections of clients."""


class _Lifespan(TypedDict):
    spotter: State


def create_app(settings: Settings, draining: asyncio.Event | None = None) -> FastAPI:
    """The application. Opens no connection until its lifespan begins. `draining`: set when it is about to end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[_Lifespan]:
        async with _opened(settings, draining or asyncio.Event()) as state:
            yield {"spotter": state}

    app = FastAPI(
        title="Spotter",
        version=_version(),
        summary="Asynchronous object detection",
        lifespan=lifespan,
        openapi_url=None,  # routes/docs.py has it, behind a key where keys are asked for
    )
    app.add_middleware(
        BodyLimit,
        most_bytes=settings.max_body_bytes + FORM_OVERHEAD_BYTES,
        archive_bytes=settings.max_archive_bytes + FORM_OVERHEAD_BYTES,
    )
    app.add_middleware(SafeHeaders, https=(settings.base_url or "").startswith("https://"))
    app.add_middleware(RequestId)
    problems.install(app)
    for routes in (
        jobs, uploads, ends, events, pictures, results, exports, models, aliases, ops, docs, admin, webhooks, page,
    ):  # fmt: skip
        app.include_router(routes.router)
    adapters = chosen(settings.adapters)
    for router in adapters:
        app.include_router(router)
    app.openapi = lambda: _openapi(app, adapters)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _opened(settings: Settings, draining: asyncio.Event) -> AsyncIterator[State]:
    url = settings.redis_url.get_secret_value()
    client, blocking = connect_async(url, "api"), connect(url, "api-sweeper")
    celery = create_celery(settings.broker)
    waker, changes, admission = Waker(celery), Changes(client, draining), Admission(client, settings.store_full_at)
    sweeper = Sweeper(
        JobStore(blocking),
        celery,
        waker,
        holder=f"api-{socket.gethostname()}-{os.getpid()}",
        interval_s=settings.sweep_s,
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
    )
    lists = manifests(settings)
    waker.start()
    changes.start()
    admission.start()
    sweeper.start()
    try:
        store = AsyncJobStore(client)
        yield State(
            settings, store, waker, changes, large_blobs(settings), Keys(store, _door(settings)), admission,
            partial(durability, client), lists, Listeners(settings.max_listeners, settings.owner_listeners),
            event_looks(store), event_looks(store, lines), job_looks(store),
        )  # fmt: skip
    finally:
        sweeper.stop()
        waker.stop()
        lists.close()
        await changes.stop()
        await admission.stop()
        await client.aclose()
        blocking.close()
        celery.close()


def _door(settings: Settings) -> Door:
    limits = Limits(
        rate=settings.owner_rate,
        burst=settings.owner_burst,
        open_jobs=settings.owner_open_jobs,
        waiting=settings.owner_waiting,
    )
    return Door(settings.auth == "keys", settings.auth_off_anywhere, limits)


def _version() -> str:
    try:
        return version("spotter-detect")
    except PackageNotFoundError:  # run from a folder that is not installed
        return "0"


def _openapi(app: FastAPI, adapters: Iterable[APIRouter]) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        add_shared(document, adapters)
        app.openapi_schema = complete(document, PUBLIC)
    return app.openapi_schema


def serving(settings: Settings, host: str, port: int) -> uvicorn.Config:
    """How the application is served: with deadlines for slow clients and a bound on connections."""
    patience = Patience(
        header_s=settings.header_timeout_s,
        body_s=settings.body_timeout_s,
        body_bytes_s=settings.body_rate_bytes,
        answer_s=settings.answer_timeout_s,
        most=min(settings.max_connections, _descriptors() - SPARE_DESCRIPTORS),
    )
    return uvicorn.Config(
        create_app(settings, patience.draining),
        host=host,
        port=port,
        http=partial(GuardedProtocol, patience),  # type: ignore[arg-type]  # it only calls it
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )


def _descriptors() -> int:
    """How many files this process may open; as many as it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 1_048_576)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def main() -> None:
    """The process, until a signal ends it. Exits with 78 (EX_CONFIG) where starting again cannot help."""
    parser = argparse.ArgumentParser(prog="python -m api.main", description="Spotter's HTTP side.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    asked = parser.parse_args()
    try:
        settings = load()
        _door(settings).check(asked.host)
        with connect(settings.redis_url.get_secret_value(), "api-start") as client:
            refuse_eviction(client)
    except StartupError as error:
        sys.stderr.write(f"api: {error.detail}\n")
        sys.exit(EX_CONFIG)
    start_logging("api", settings.log_level)
    server = uvicorn.Server(serving(settings, asked.host, asked.port))
    spare_collections(rarely=True)
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Other systems' interfaces over the same jobs, one file each: a foreign request becomes a job, and the finished job
the foreign answer; errors too have the foreign shape. None knows a worker or the store; all stand on `api/intake.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter

from api.adapters import (
    cvlib_tutorial,
    dcf_function,
    deepstack,
    doods,
    labelstudio,
    open_inference,
    roboflow,
    tf_serving,
    yolo_service,
)
from shared.errors import StartupError

ADAPTERS: dict[str, APIRouter] = {
    "yolo_service": yolo_service.router,
    "cvlib_tutorial": cvlib_tutorial.router,
    "dcf_function": dcf_function.router,
    "tf_serving": tf_serving.router,
    "open_inference": open_inference.router,
    "deepstack": deepstack.router,
    "doods": doods.router,
    "labelstudio": labelstudio.router,
    "roboflow": roboflow.router,  # has a path that fits many: it stays the last
}
"""By the name that `SPOTTER_ADAPTERS` uses. Where two have a path in common, the first one that fits answers."""

ALL = "all"


def chosen(names: Iterable[str]) -> list[APIRouter]:
    """The routers of these adapters, in the order of `ADAPTERS`; `all` names every one.

    Raises StartupError: there is no such adapter.
    """
    wanted = set(names)
    unknown = wanted - {ALL, *ADAPTERS}
    if unknown:
        raise StartupError(
            f"SPOTTER_ADAPTERS: no adapter {', '.join(sorted(unknown))}; there are {', '.join(ADAPTERS)}."
        )
    return [router for name, router in ADAPTERS.items() if ALL in wanted or name in wanted]

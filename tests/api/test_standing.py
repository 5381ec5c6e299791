"""Who follows an alias, judged by what workers announce: no change is taken for another one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.changes import Watch
from api.standing import Wanted, settled, standing
from shared.assignments import Assignment, Assignments
from shared.errors import AliasChanged
from shared.reports import Fleet, LoadedVersion, ServedModel, WorkerReport
from shared.store import AsyncJobStore, Call, T


def report(worker: str, followed: int, default: str | None = "1", model: str = "m", **aliases: str) -> WorkerReport:
    loaded = (LoadedVersion(version="1", provider="cpu", precision="fp32", max_batch=1),)
    served = ServedModel(name=model, default=default, aliases=aliases, loaded=loaded)
    return WorkerReport(
        worker=worker, host="h", pid=1, started_ms=1, progress_ms=1, busy=0, models=(served,), followed=followed
    )


def assigned(edition: int, **versions: str) -> Assignments:
    of = {
        alias: Assignment(model="m", alias=alias, version=version, edition=edition, by="shop")
        for alias, version in versions.items()
    }
    return Assignments(edition, {"m": of})


def test_whoever_has_followed_a_later_edition_has_followed_this_one() -> None:
    live = (report("before", 4, stable="1"), report("just", 5, stable="1"), report("after", 9, stable="1"))
    found = standing(Fleet(live, {}), Wanted("m", "stable", "1", 5))
    assert (found.followed, found.settling) == (("just", "after"), True)
    assert [one.worker for one in found.behind] == ["before"]


def test_the_default_is_what_answers_a_bare_name_and_other_models_do_not_count() -> None:
    live = (report("a", 5, "2"), report("b", 5, None), report("c", 0, "1", model="n"))
    found = standing(Fleet(live, {}), Wanted("m", "default", "2", 5))
    assert (found.followed, [(one.worker, one.version) for one in found.behind]) == (("a",), [("b", None)])
    assert not found.settling


def test_what_is_dropped_is_followed_whatever_a_repository_says() -> None:
    live = (report("a", 5, stable="2"), report("b", 5), report("c", 4, stable="1"))
    found = standing(Fleet(live, {}), Wanted("m", "stable", None, 5))
    assert (found.followed, [one.worker for one in found.behind]) == (("a", "b"), ["c"])


class Overtaken(AsyncJobStore):
    """Between the two calls of a look another request moves the alias, and the worker has followed that already."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def run(self, call: Call[T]) -> T:
        self.calls.append(call.script)
        edition, version = (5, "1") if len(self.calls) == 1 else (6, "2")
        said: dict[str, Any] = {
            "fleet": Fleet((report("w", edition, stable=version),), {}),
            "assignments": assigned(edition, stable=version),
        }
        return said[call.script]  # type: ignore[no-any-return]


def test_a_change_in_the_middle_of_a_look_is_told_as_one() -> None:
    async def told() -> None:
        with pytest.raises(AliasChanged, match="m@stable is version 2 now"):
            await settled(Overtaken(), Wanted("m", "stable", "1", 5), Watch(False), 5)

    asyncio.run(told())

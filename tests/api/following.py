"""A worker that does what aliases set over HTTP say, a moment later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.assignments import assignments
from shared.store import JobStore
from tests.waiting import meanwhile


@contextmanager
def following(worker: Any, store: JobStore, name: str = "w1") -> Iterator[None]:
    """It has versions 1 and 2; its repository says `stable` is 1."""

    def follow(over: threading.Event) -> None:
        while not over.wait(0.02):
            seen = store.run(assignments())
            told = seen.versions("m")
            aliases = {"stable": "1"} | {alias: version for alias, version in told.items() if alias != "default"}
            worker.announce("m", ("1", "2"), told.get("default", "2"), aliases, worker=name, followed=seen.edition)

    worker.announce("m", ("1", "2"), "2", {"stable": "1"}, worker=name)
    with meanwhile(follow):
        yield

"""The real processes: `spotter up` with a small real model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.local import Stack
from bench.tiny_model import make_models

Start = Callable[..., Stack]


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one small model under the default name."""
    return make_models(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def start(tmp_path: Path, models_dir: Path) -> Iterator[Start]:
    """Start a stack with settings; stopped at the end of the test. Twice in one test: the same data folder."""
    running: list[Stack] = []

    def up(**settings: str) -> Stack:
        stack = Stack(tmp_path, models_dir, "fp32", **settings).__enter__()
        running.append(stack)
        return stack

    yield up
    for stack in running:
        stack.__exit__(None, None, None)

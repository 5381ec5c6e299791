"""Tokens come from the broker, where anybody who reaches it can write."""

from __future__ import annotations

from typing import Any

import pytest

from shared.queue import DETECT_TASK, create_celery
from worker.tasks import register


class Asked:
    """Keeps the references that got through."""

    def __init__(self) -> None:
        self.references: list[str] = []

    def detect(self, reference: str) -> None:
        self.references.append(reference)


@pytest.mark.parametrize(
    ("token", "passes"),
    [
        ("m", True), ("yolov3-tiny@12", True), ("m@stable", False), ("m@", False), ("@1", False), ("M", False),
        ("../m", False), ("m@1\n", False), ("", False), (7, False), (None, False), (["m"], False),
    ],
)  # fmt: skip
def test_only_a_name_or_a_name_with_a_version_gets_further(token: Any, passes: bool) -> None:
    app, asked = create_celery("memory://"), Asked()
    register(app, asked, None)  # type: ignore[arg-type]
    app.tasks[DETECT_TASK](token)
    assert asked.references == ([token] if passes else [])
    app.close()

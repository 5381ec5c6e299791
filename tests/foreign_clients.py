"""Runs other people's clients and readers of our formats: scripts of `tests/foreign`, in the virtual environment that
`make foreign` makes. Such a script is called with arguments and prints one JSON document.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / "build" / "foreign" / "bin" / "python"
LIMIT_S = 60

needs_foreign = pytest.mark.skipif(
    not PYTHON.exists(), reason="other systems' clients are not installed: run `make foreign`"
)


def run_foreign(script: str, *arguments: str | Path) -> Any:
    """What `tests/foreign/<script>.py` printed, read as JSON. A script that fails, fails the test."""
    done = subprocess.run(
        [PYTHON, "-W", "ignore", ROOT / "tests" / "foreign" / f"{script}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)

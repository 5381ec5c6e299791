"""Pictures whose decoder crashes among others, in the short form of the fault bench: real processes all the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

ROOT = Path(__file__).parent.parent.parent


def test_poison_pictures_are_given_up_and_all_others_succeed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.faults.poison", "--short"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=170,
    )  # fmt: skip
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["held"], row
    assert done.returncode == 0
    counted = row["measured"]
    assert counted["final states"] == {"succeeded": 116, "failed": 4}
    assert counted["errors"] == {"poison": 4}
    assert counted["dead-lettered"] == 4
    assert counted["most attempts of one"] <= 3
    assert counted["workers that ended"] <= 4, "one crash must not end workers for ever"

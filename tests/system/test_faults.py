"""A small form of the fault bench: real processes killed under load, and the ledger held against the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("scenario", "sizes"),
    [
        # The bound is twice the lease; a sweep and a worker's start, about 1.5 s on a busy machine, must fit into it.
        ("worker_kills", "--jobs 60 --kills 2 --workers 2 --lease 3"),
        ("api_kills", "--jobs 60 --kills 2 --workers 1"),
        ("stalled_network", "--jobs 60 --stalls 1 --seconds 6 --workers 1 --lease 5"),
        ("disk_full", "--jobs 60 --times 1 --seconds 4 --workers 1 --lease 3"),
    ],
)
def test_the_promise_holds(tmp_path: Path, scenario: str, sizes: str) -> None:
    command = [sys.executable, "-m", f"bench.faults.{scenario}", "--seed", "7", *sizes.split()]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    document = json.loads(ran.stdout.splitlines()[-1])
    assert document["held"]
    assert document["seed"] == 7
    assert document["measured"]["jobs"] == 60
    assert document["measured"]["lost"] == document["measured"]["final states changed"] == 0
    ledger = (tmp_path / "out" / "faults" / f"{scenario}.ledger.jsonl").read_text().splitlines()
    assert len(ledger) == 60

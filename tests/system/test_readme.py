"""The README's curl examples, run as they stand against a real stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import Start

ROOT = Path(__file__).parent.parent.parent

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


def examples() -> list[str]:
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^\$ (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)


def curl(example: str, port: int, job: str, folder: Path) -> str:
    """Run one example in a shell, at the stack's own port, with what it writes going to `folder`."""
    command = example.replace(":8000", f":{port}").replace("tests/pictures", str(ROOT / "tests" / "pictures"))
    # Older curls have no --json; it stands for these.
    command = command.replace("--json ", "-H 'Content-Type: application/json' -H 'Accept: application/json' --data ")
    done = subprocess.run(
        ["bash", "-c", command + " --fail-with-body --max-time 40"],
        env={**os.environ, "JOB": job}, cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 or "409" in done.stdout, f"{example}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_curl_examples_do_what_they_say(start: Start, tmp_path: Path) -> None:
    found = examples()
    assert len(found) >= 9
    stack = start()
    raw, form, by_url, look, drawn, cancel, *others = found
    finished = json.loads(curl(raw, stack.port, "", tmp_path))
    assert finished["status"] == "succeeded"
    bulk = json.loads(curl(form, stack.port, "", tmp_path))
    assert bulk["counts"]["total"] == 2
    assert json.loads(curl(by_url, stack.port, "", tmp_path))["counts"]["total"] == 1
    while json.loads(curl(look, stack.port, bulk["id"], tmp_path))["status"] != "succeeded":
        pass  # each look waits for a change
    curl(drawn, stack.port, bulk["id"], tmp_path)
    assert (tmp_path / "annotated.jpg").read_bytes().startswith(b"\xff\xd8")
    assert json.loads(curl(cancel, stack.port, bulk["id"], tmp_path))["code"] == "job_finished"
    for example in others:
        assert json.loads(curl(example, stack.port, "", tmp_path))

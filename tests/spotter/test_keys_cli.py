"""`spotter keys` as users run it: real processes over a real store, and a real API that lets the keys in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.keys import key_id
from spotter.client import Spotter
from spotter.errors import SpotterApiError
from tests.api.conftest import Serve, serve

__all__ = ["serve"]

COMMAND = (sys.executable, "-m", "spotter", "keys")


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, "COLUMNS": "160", **env}
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=whole, capture_output=True, text=True, timeout=60)


def test_a_key_is_made_used_listed_and_revoked(
    redis_url: str, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("create", "--owner", "shop", "--days", "30", "--rate", "5", cwd=tmp_path, SPOTTER_REDIS_URL=redis_url)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key not in made.stderr
    name = key_id(key)
    assert name
    base_url = str(serve(auth="keys").base_url)
    monkeypatch.setenv("SPOTTER_API_KEY", key)
    with Spotter(base_url) as service:
        assert list(service.jobs()) == []
    monkeypatch.delenv("SPOTTER_API_KEY")
    with Spotter(base_url) as service, pytest.raises(SpotterApiError) as refused:
        list(service.jobs())
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    listed = run("list", cwd=tmp_path, SPOTTER_REDIS_URL=redis_url)
    assert name in listed.stdout
    assert re.search(r"shop .*jobs:read jobs:write", listed.stdout)
    assert key.split("_")[2] not in listed.stdout
    assert run("revoke", name, cwd=tmp_path, SPOTTER_REDIS_URL=redis_url).returncode == 0
    again = run("revoke", name, cwd=tmp_path, SPOTTER_REDIS_URL=redis_url)
    assert (again.returncode, again.stderr) == (1, f"spotter: There is no key with the id {name}.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--owner", "NO"), "owner"),
        (("--owner", "shop", "--scope", "everything"), "invalid choice"),
        (("--owner", "shop", "--burst", "2000000"), "burst"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(
    redis_url: str, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run("create", *arguments, cwd=tmp_path, SPOTTER_REDIS_URL=redis_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_where_no_stack_ran_is_said_so(tmp_path: Path) -> None:
    done = run("list", cwd=tmp_path)
    assert done.returncode == 1
    assert "No stack runs in data" in done.stderr

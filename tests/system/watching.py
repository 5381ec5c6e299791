"""Watching a running stack: its processes, and its jobs until they end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from bench.local import Stack


def parts(stack: Stack, word: str) -> list[int]:
    """Pids of the stack's processes whose command line holds `word`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text()
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            if int(status.rpartition(")")[2].split()[1]) == stack.pid and word in command:
                found.append(int(folder.name))
    return found


def finished(client: httpx.Client, jobs: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Every job once it is final; the test fails when some are not in time."""
    deadline = time.monotonic() + seconds
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        while True:
            assert time.monotonic() < deadline, f"{len(jobs) - len(found)} of {len(jobs)} jobs did not end in time"
            try:
                answer = client.get(f"/jobs/{job}?wait=5", timeout=20)
            except httpx.TransportError:
                continue
            if answer.status_code == 503:
                time.sleep(0.1)
                continue
            assert answer.status_code == 200, f"{job}: {answer.text}"
            if answer.json()["status"] in ("succeeded", "failed", "canceled", "expired"):
                found[job] = answer.json()
                break
    return found

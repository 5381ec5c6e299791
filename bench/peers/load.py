"""The load on a peer: wrk as in `bench.closedloop`, but wrong answers are counted where that refuses to go on."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.closedloop import LUA, SPARE_S

ANSWER_TIMEOUT_S = 30
"""An answer that takes longer counts as lost."""
WORD = '"dog"'
"""Stands in the body of a right answer, whose status is 200."""


@dataclass(frozen=True)
class Measured:
    """One run of the load generator.

    Attributes:
        rate: right answers per second.
        p50_ms: median latency of all answers, milliseconds; as wrk has it, so filled up for stalled connections.
        p99_ms: likewise, 99th percentile.
        errors: answers that were not right, and requests that got none.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def require_wrk() -> None:
    """Raises SystemExit where wrk is not installed: a generator in Python would take the cores from the servers."""
    if shutil.which("wrk") is None:
        raise SystemExit("bench.peers needs wrk (Debian and Ubuntu: apt install wrk; macOS: brew install wrk)")


def post(url: str, picture: Path, clients: int, seconds: int) -> Measured:
    """A closed loop: each of the clients posts the picture, waits for the answer, and posts again."""
    words = [str(picture.resolve()), "image/jpeg", "wait=30", "200", WORD]  # only Spotter reads `Prefer`
    out = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{ANSWER_TIMEOUT_S}s", "--latency",
         "-s", str(LUA), url, "--", *words],
        check=True, capture_output=True, text=True, timeout=seconds + SPARE_S,
    )  # fmt: skip
    return read(out.stdout)


def read(printed: str) -> Measured:
    """What the script printed as its last line."""
    line = json.loads(printed.strip().splitlines()[-1])
    return Measured(
        rate=(line["requests"] - line["wrong"]) / line["seconds"],
        p50_ms=line["p50_ms"],
        p99_ms=line["p99_ms"],
        errors=line["wrong"] + line["lost"],
    )

"""The load: wrk with a script that posts one picture and judges every answer. Knows no server but its URL."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
ANSWER_TIMEOUT_S = 30
"""An answer that takes longer counts as lost."""
WORD = "dog"
"""Stands in the body of a right answer."""


@dataclass(frozen=True)
class Measured:
    """One run of the load generator.

    Attributes:
        rate: right answers per second.
        p50_ms: median latency of all answers, milliseconds, as wrk has it.
        p99_ms: likewise, 99th percentile.
        errors: answers that were not right, and requests that got none.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


def wrk() -> str:
    """Where wrk is. Raises SystemExit where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("bench.peers needs wrk (Debian and Ubuntu: apt install wrk; macOS: brew install wrk)")
    return found


def post(url: str, picture: Path, clients: int, seconds: int) -> Measured:
    """A closed loop: each of the clients posts the picture, waits for the answer, and posts again."""
    out = subprocess.run(
        [wrk(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{ANSWER_TIMEOUT_S}s", "--latency", "-s",
         str(SCRIPT), url, "--", str(picture.resolve()), WORD],
        check=True, capture_output=True, text=True, timeout=seconds + ANSWER_TIMEOUT_S + 30,
    )  # fmt: skip
    return read(out.stdout)


def read(printed: str) -> Measured:
    """What `post.lua` printed as its last line."""
    line = json.loads(printed.strip().splitlines()[-1])
    return Measured(
        rate=line["right"] / line["seconds"],
        p50_ms=line["p50_ms"],
        p99_ms=line["p99_ms"],
        errors=line["wrong"] + line["lost"],
    )

"""The ledger: every job that the service answered 202 for, on disk at once. Nothing is ever taken off it.

What the service promised stands here, apart from the service; `watch.py` holds it to that.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One 202.

    Attributes:
        key: what the generator calls the job: its idempotency key, and its name in the job's metadata.
        at: epoch seconds of the answer.
    """

    id: str
    key: str
    at: float


class Ledger:
    """Written by the load generator, read by the watcher; thread-safe. One JSON object a line in `path`."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._entries: list[Entry] = []
        path.write_bytes(b"")

    def add(self, job: str, key: str) -> None:
        """An answer of 202 for `job`."""
        entry = Entry(job, key, time.time())
        with self._lock, self._path.open("ab") as file:
            file.write(json.dumps(asdict(entry)).encode() + b"\n")
            self._entries.append(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """All so far, in the order of their answers."""
        with self._lock:
            return list(self._entries)

    def sha256(self) -> str:
        """Of the file, so that a published figure can be held against a published ledger."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

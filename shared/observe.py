"""What the processes tell of themselves: JSON logs with the job's id, and histograms of the stages of a job's way."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from bisect import bisect_left
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
"""The job that this thread or task works on now; every log line carries it."""
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
_CHATTY = (
    "httpx",
    "httpcore",
    "botocore",
    "urllib3",
    "PIL",
    "celery.redirected",
    "celery.worker.strategy",  # a line for each token
    "celery.app.trace",
    "uvicorn.access",  # likewise for each request
)
_LONGEST = 2000  # characters of one value: a hostile text must not fill the log
_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's, for terminals
}


_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bspt_([0-9A-Za-z]{1,8})_[0-9A-Za-z_]+"), r"spt_\1_***"),
    (re.compile(r"\bwhsec_[0-9A-Za-z+/=_-]+"), "whsec_***"),
    (re.compile(r"\b(bearer|basic) +[^\s\"',]+", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#\"'<>]*@"), r"\1***@"),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?#\"'<>]*)[?#][^\s\"'<>]*"), r"\1?***"),
)
"""Keys (all but their ids), secrets of webhooks, credentials, and of addresses the user and the query."""


def redacted(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: no input can forge a line or reach a terminal as a control code."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """`record` with its extras, the process' name and the current job and request."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": redacted(record.getMessage()[:_LONGEST]),
        }
        for name, variable in (("job_id", job_id), ("request_id", request_id)):
            if (value := variable.get()) is not None:
                entry[name] = value
        for name, value in record.__dict__.items():
            if name not in _PLAIN:
                entry[name] = value if isinstance(value, int | float | bool | None) else redacted(str(value)[:_LONGEST])
        if record.exc_info:
            entry["exception"] = redacted(self.formatException(record.exc_info)[-8 * _LONGEST :])
        return json.dumps(entry)


def start_logging(process: str, level: str) -> None:
    """Send every log record of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel("WARNING")
    for own in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # uvicorn brings handlers for plain text
        logging.getLogger(own).handlers.clear()
        logging.getLogger(own).propagate = True


class Stages:
    """Histograms of how long each stage took, in milliseconds. Thread-safe; cheap enough for every picture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, **stages_ms: float) -> None:
        """Count one picture's stages, by name."""
        with self._lock:
            for stage, ms in stages_ms.items():
                counts = self._counts.setdefault(stage, [0] * (len(BUCKETS_MS) + 1))
                counts[bisect_left(BUCKETS_MS, ms)] += 1
                self._sums[stage] = self._sums.get(stage, 0.0) + ms

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """By stage: `counts` per bucket of `BUCKETS_MS` (and one for the rest), and `sum_ms`."""
        with self._lock:
            return {
                stage: {"counts": list(counts), "sum_ms": round(self._sums[stage], 3)}
                for stage, counts in self._counts.items()
            }

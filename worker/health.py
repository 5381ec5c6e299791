"""`python -m worker.health`: exit 0 while this host's worker makes progress. For container health checks.

A ping would call a stuck worker healthy; this asks for a fresh announcement and, while work waits, finished pictures.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Mapping

from shared.connection import connect
from shared.errors import Overloaded, StartupError
from shared.reports import WorkerReport
from shared.settings import load
from shared.store import JobStore
from shared.views import Backlog, backlog, workers

STUCK_S = 120.0
"""Work waits this long and nothing was finished meanwhile: stuck."""


def why_unhealthy(
    reports: Iterable[WorkerReport], behind: Mapping[str, Backlog], host: str, now_s: float
) -> str | None:
    """None when a worker on `host` is alive and getting on; else the reason."""
    mine = [report for report in reports if report.host == host]
    if not mine:
        return "no worker of this host announces itself"
    for report in mine:
        idle_s = now_s - report.progress_ms / 1000
        answers = {reference for model in report.models for reference in (model.name, *model.references)}
        waits_s = max((behind[reference].oldest_s for reference in answers & behind.keys()), default=0.0)
        if min(idle_s, waits_s) > STUCK_S:
            return f"worker {report.worker} finished nothing for {idle_s:.0f} s while work waits"
    return None


def main() -> int:
    """The check, once."""
    try:
        settings = load()
        with connect(settings.redis_url.get_secret_value(), "health") as client:
            store = JobStore(client)
            live, behind = store.run(workers()), store.run(backlog())
            reason = why_unhealthy(live, behind, socket.gethostname(), time.time())
    except (StartupError, Overloaded) as error:
        reason = error.detail
    if reason:
        sys.stderr.write(f"unhealthy: {reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())

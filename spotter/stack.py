"""The local stack: Valkey, the API and the worker as supervised processes on one machine, for `spotter up` and `demo`.

What goes in: a `Plan`. What comes out: a running service at `Stack.url`. The parts get everything through `SPOTTER_*`
in their environment; this module knows their command lines and nothing of what they do.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from spotter import address, datafolder, valkey
from spotter.child import Log, Process
from spotter.errors import StackError
from spotter.supervisor import Restarts, Supervisor

READY_TIMEOUT_S = 120.0  # the worker loads and warms every model before it counts as live
PROBE_TIMEOUT_S = 1.0
API_DRAIN_S = 10  # open long polls and uploads get this long after SIGTERM
WORKER_DRAIN_S = 60.0
RESTARTS = Restarts()


@dataclass(frozen=True)
class Plan:
    """What to start.

    Attributes:
        port: TCP port of the API; 0: any free one.
        data: the stack's folder; made when missing.
        models_dir: the model repository, `<name>/<version>/model.onnx`.
        workers: worker processes, 1..64.
        maxmemory_bytes: beyond it the store refuses new jobs.
        fsync: when the store's log reaches the disk, one of `valkey.FSYNC`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path("data")
    models_dir: Path = Path("models")
    workers: int = 1
    maxmemory_bytes: int = 1024**3
    fsync: str = "everysec"


@dataclass(frozen=True)
class Stack:
    """A stack that is up; `supervisor.run()` keeps it so."""

    url: str
    supervisor: Supervisor


@contextmanager
def prepared(plan: Plan, environ: Mapping[str, str], log: Log, restarts: Restarts = RESTARTS) -> Iterator[Stack]:
    """Check everything, hold the data folder, and give the stack, not yet started. At the end all of it is stopped.

    Raises:
        StackError: a taken port, no model, a data folder or a server that cannot be used; the text is one sentence.
    """
    if not any(plan.models_dir.glob("*/*/model.json")):
        raise StackError(f"There is no model in {plan.models_dir}: run `spotter models pull yolov3-tiny`.")
    port = address.claim(plan.host, plan.port)
    with datafolder.opened(plan.data) as folder:
        supervisor = Supervisor(stages(plan, folder, port, environ), log, restarts)
        try:
            yield Stack(address.url(plan.host, port), supervisor)
        finally:
            supervisor.stop()


def stages(plan: Plan, folder: Path, port: int, environ: Mapping[str, str]) -> list[list[Process]]:
    """First the store (none when `SPOTTER_REDIS_URL` names one), then the API and the workers side by side.

    Raises:
        StackError: the named store does not answer, or ours cannot be set up.
    """
    env = {
        **environ,
        "PYTHONUNBUFFERED": "1",
        "SPOTTER_MODELS_DIR": str(plan.models_dir.resolve()),
    }
    if not env.get("SPOTTER_AUTH"):
        env["SPOTTER_AUTH"] = "off" if address.is_loopback(plan.host) else "keys"
    if address.is_loopback(plan.host):
        env.setdefault("SPOTTER_ADAPTERS", "all")  # other systems' clients on this machine just work
    if not env.get("SPOTTER_WEBHOOK_SECRET"):
        secret = datafolder.kept_secret(folder / "webhook.secret", datafolder.new_webhook_secret)
        env["SPOTTER_WEBHOOK_SECRET"] = secret
    first: list[list[Process]] = []
    api_env, worker_env = dict(env), dict(env)
    if given := environ.get("SPOTTER_REDIS_URL"):
        if why := valkey.why_silent(given):
            raise StackError(f"The server at {valkey.shown(given)} (SPOTTER_REDIS_URL) does not answer: {why}.")
    else:
        server, urls = valkey.server(folder, address.free_port(), plan.maxmemory_bytes, environ, plan.fsync)
        api_env["SPOTTER_REDIS_URL"], worker_env["SPOTTER_REDIS_URL"] = urls["api"], urls["worker"]
        datafolder.write_private(folder / "store.url", urls["api"] + "\n")
        first = [[server]]
    return [*first, [_api(plan.host, port, api_env), *_workers(plan.workers, worker_env)]]


def _api(host: str, port: int, env: Mapping[str, str]) -> Process:
    # -P: a folder named `api` where the user happens to stand must not be taken for ours.
    command = (sys.executable, "-P", "-m", "api.main", "--host", host, "--port", str(port))
    base = address.url(host, port)
    return Process(
        name="api",
        argv=command,
        env=env,
        ready=lambda: answers(base, "/readyz"),
        ready_timeout_s=READY_TIMEOUT_S,
        stop_timeout_s=API_DRAIN_S + 5.0,
    )


def _workers(count: int, env: Mapping[str, str]) -> list[Process]:
    names = ["worker"] if count == 1 else [f"worker-{number}" for number in range(1, count + 1)]
    argv = (sys.executable, "-P", "-m", "worker.main")
    return [Process(name, argv, env, stop_timeout_s=WORKER_DRAIN_S) for name in names]


def answers(base_url: str, path: str) -> bool:
    """Whether `GET` of the path is answered with 200 within a second. Not answering is an answer here, not an error."""
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

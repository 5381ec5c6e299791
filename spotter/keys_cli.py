"""`spotter keys ...`: API keys of a service whose store is reached from here. A key is shown once, when it is made.

What goes in: arguments, and the store's address from `SPOTTER_REDIS_URL` or from the data folder of the local stack
that runs. The work is done by `python -m api.keyring` in a child process; this module knows how to ask it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spotter import datafolder, show
from spotter.errors import StackError

COMMAND = (sys.executable, "-P", "-m", "api.keyring")
TIMEOUT_S = 30.0
HEADINGS = ("id", "owner", "scopes", "created", "expires", "last used")

keys = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke them.")

Data = Annotated[Path, typer.Option(help="Data folder of the local stack, where SPOTTER_REDIS_URL is not set.")]


@keys.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose jobs it sends and sees.")],
    scope: Annotated[list[str] | None, typer.Option(help="May be repeated. Default: jobs:read, jobs:write.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires; default: never.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Jobs a second; default: the service's.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, help="Jobs at once; default: the service's.")] = None,
    open_jobs: Annotated[int | None, typer.Option(min=0, help="Jobs not ended; default: the service's.")] = None,
    waiting: Annotated[int | None, typer.Option(min=0, help="Waiting pictures; default: the service's.")] = None,
    data: Data = Path("data"),
) -> None:
    """Make a key and print it: it cannot be shown again."""
    given = {"days": days, "rate": rate, "burst": burst, "open-jobs": open_jobs, "waiting": waiting}
    arguments = [part for name, value in given.items() if value is not None for part in (f"--{name}", str(value))]
    for one in scope or ():
        arguments += ["--scope", one]
    (made,) = _ask(data, "create", "--owner", owner, *arguments)
    print(made["key"])
    show.say(f"this is the key {made['id']} of {made['owner']} ({', '.join(made['scopes'])}); it is not shown again.")


@keys.command("list")
def list_(data: Data = Path("data")) -> None:
    """Show all keys, without their secrets."""
    found = _ask(data, "list")
    cells = [
        (one["id"], one["owner"], " ".join(one["scopes"]), one["created_at"], one["expires_at"] or "never",
         one["last_used_at"] or "never")
        for one in found
    ]  # fmt: skip
    show.console().print(show.rows(HEADINGS, cells))


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As in the list.")], data: Data = Path("data")
) -> None:
    """Refuse a key: everywhere within five seconds."""
    _ask(data, "revoke", key)
    show.say(f"the key {key} is revoked.")


def _ask(data: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the keyring answers. Raises StackError."""
    url = os.environ.get("SPOTTER_REDIS_URL") or datafolder.store_url(data)
    done = subprocess.run(  # noqa: S603 - argv is ours, no shell
        (*COMMAND, *arguments),
        env={**os.environ, "SPOTTER_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise StackError(last.partition(": ")[2] or last or "The keyring did not answer.")
    return [json.loads(line) for line in done.stdout.splitlines()]

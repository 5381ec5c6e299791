"""The local stack's folder: made, checked, locked, and the keeper of its secrets. Knows nothing of what runs in it.

data/
  lock             held while a stack runs; holds its process id
  redis.<role>.password    mode 0600; of the store's users, see valkey.acl
  webhook.secret   mode 0600; Standard Webhooks form
  store.url        mode 0600; where the store of the stack is that ran last, for `spotter keys`
  valkey/          the server's configuration, users and append-only file
"""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spotter.errors import StackError

SMALLEST_FREE_BYTES = 64 * 1024 * 1024


@contextmanager
def opened(folder: Path, smallest_free_bytes: int = SMALLEST_FREE_BYTES) -> Iterator[Path]:
    """The folder's absolute path, made where it was missing, and nobody else's until the end.

    Raises:
        StackError: it cannot be made, read or written, its disk is full, or another stack uses it.
    """
    with _sentence(folder):
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with _sentence(folder):
            _take(lock, folder)
            _check(folder, smallest_free_bytes)
        yield folder
    finally:
        os.close(lock)


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The text in `path`; made, and written with mode 0600, the first time.

    Raises:
        StackError: the file cannot be read or written.
    """
    with _sentence(path):
        if path.exists() and (kept := path.read_text().strip()):
            return kept
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        made = make()
        write_private(fresh, made + "\n")
        fresh.replace(path)
        return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole and on the disk when this returns.

    Raises:
        OSError: from the file system.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)  # the mode above counts only for a new file
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def store_url(folder: Path) -> str:
    """The address of the store of the stack that runs, or ran last, in this folder.

    Raises:
        StackError: none ran there.
    """
    try:
        return (folder / "store.url").read_text().strip()
    except OSError:
        raise StackError(
            f"No stack runs in {folder}: start it with `spotter up`, name its folder with --data,"
            " or set SPOTTER_REDIS_URL."
        ) from None


def new_password() -> str:
    """256 random bits that need no quoting in a URL or a configuration file."""
    return secrets.token_urlsafe(32)


def new_webhook_secret() -> str:
    """`whsec_` + base64 of 32 random bytes (Standard Webhooks, "Signature scheme": 24 to 64 bytes)."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip()
        which = f" (process {holder})" if holder else ""
        raise StackError(
            f"Another Spotter{which} already uses the data folder {folder}: stop it, or name another with --data."
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())


def _check(folder: Path, smallest_free_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < smallest_free_bytes:
        raise StackError(
            f"The disk of the data folder {folder} is full: {free // 1024**2} MiB are free,"
            f" {smallest_free_bytes // 1024**2} MiB are needed."
        )
    os.listdir(folder)
    probe = folder / "probe"
    write_private(probe, "x" * 4096)
    probe.unlink()


@contextmanager
def _sentence(path: Path) -> Iterator[None]:
    """Turn what the file system says into one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StackError(f"The disk of {path} is full: make room, or name another folder with --data.") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            text = f"{where} may not be read or written by this user ({error.strerror})"
        else:
            text = f"{where} cannot be used ({error.strerror})"
        raise StackError(f"{text}: correct that, or name another folder with --data.") from None

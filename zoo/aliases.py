"""Names for versions, and the end of a version, on disk. Writes what `shared.manifest` reads; a running worker follows.

The number of a removed version is not given again: its folder stays behind, empty. So `name@3` never means two files.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import manifest
from shared.errors import StartupError
from zoo.errors import RepositoryError


def set_alias(models_dir: Path, name: str, alias: str, version: str) -> None:
    """Point an alias at a version, whether it existed before or not; whoever reads sees the old state or the new one.

    Raises:
        RepositoryError: the alias is not allowed, there is no such version, or the folder cannot be written.
    """
    if not manifest.ALIAS.fullmatch(alias):
        raise RepositoryError(
            f"{alias!r} is not an alias: use a lower-case letter, then letters, digits, '.', '_', '-'."
        )
    with _alone(models_dir, name) as named:
        _require(models_dir, name, version)
        _write(models_dir / name, {**named, alias: version})


def remove_alias(models_dir: Path, name: str, alias: str) -> None:
    """Forget an alias.

    Raises:
        RepositoryError: there is no such alias, or the folder cannot be written.
    """
    with _alone(models_dir, name) as named:
        if alias not in named:
            raise RepositoryError(f"{name} has no alias {alias}; it has {', '.join(sorted(named)) or 'none'}.")
        _write(models_dir / name, {key: version for key, version in named.items() if key != alias})


def remove(models_dir: Path, name: str, version: str | None = None) -> list[str]:
    """Delete one version, or all of them with their aliases; the versions that are gone. Workers let go of them later.

    Raises:
        RepositoryError: there is no such model or version, an alias points at the version, or it cannot be deleted.
    """
    with _alone(models_dir, name) as named:
        if version is None:
            gone = manifest.versions(models_dir, name)
            _require(models_dir, name, gone[-1] if gone else "1")
            (models_dir / name / manifest.ALIASES_FILE).unlink(missing_ok=True)
        else:
            _require(models_dir, name, version)
            gone = [version]
            if held := [alias for alias, target in named.items() if target == version]:
                raise RepositoryError(f"{name}@{version} is {' and '.join(held)}: move or remove the alias first.")
        for one in gone:
            _empty(models_dir / name / one)
        return gone


def _require(models_dir: Path, name: str, version: str) -> None:
    have = manifest.versions(models_dir, name)
    if version not in have:
        there = f"there are {', '.join(have)}" if have else "there is none"
        raise RepositoryError(f"No version {version} of {name} in {models_dir}: {there}.")


def _empty(folder: Path) -> None:
    """Without `model.json` a version is not there any more; so that goes first."""
    (folder / "model.json").unlink()
    for path in folder.iterdir():
        path.unlink()


def _write(folder: Path, named: dict[str, str]) -> None:
    descriptor, path = tempfile.mkstemp(prefix=".aliases-", dir=folder)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(dict(sorted(named.items())), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(path, 0o644)  # mkstemp makes it private; a worker may run as another user
        os.replace(path, folder / manifest.ALIASES_FILE)
    except OSError:
        os.unlink(path)
        raise


@contextmanager
def _alone(models_dir: Path, name: str) -> Iterator[dict[str, str]]:
    """The aliases of a model, with its folder locked, so that two changes do not undo each other."""
    if not manifest.NAME.fullmatch(name):
        raise RepositoryError(f"{name!r} is not a model name: use lower-case letters, digits, '.', '_' and '-'.")
    folder = models_dir / name
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield manifest.aliases(models_dir, name)
        finally:
            os.close(lock)
    except FileNotFoundError:
        raise RepositoryError(f"No model {name} in {models_dir}.") from None
    except StartupError as error:
        raise RepositoryError(error.detail) from None
    except OSError as error:
        raise RepositoryError(f"{folder} cannot be written: {error.strerror or error}.") from error

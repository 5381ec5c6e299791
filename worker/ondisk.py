"""What lies in the model repository now, and which of it a worker should have loaded. Loads nothing, remembers nothing.

A look costs a few system calls for each version, so it is taken anew every time rather than watched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from shared import manifest
from shared.manifest import DEFAULT_ALIAS

Print: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Name, size, mtime in ns and inode of each file of a version: equal while nobody touched it."""


@dataclass(frozen=True)
class OnDisk:
    """One model in the repository.

    Attributes:
        versions: the complete ones with their prints, oldest first.
        aliases: version by alias, as the file says; or those of HTTP before it.
    """

    versions: Mapping[str, Print]
    aliases: Mapping[str, str]

    def under(self, assigned: Mapping[str, str]) -> OnDisk:
        """The same where aliases set over HTTP go before the repository's own, as far as it has their versions."""
        there = {alias: version for alias, version in assigned.items() if version in self.versions}
        return replace(self, aliases={**self.aliases, **there})

    def pinned(self) -> str | None:
        """The version that the alias `default` names, where it is there."""
        named = self.aliases.get(DEFAULT_ALIAS)
        return named if named in self.versions else None

    def default(self, refused: Iterable[str]) -> str | None:
        """What should answer where no version is asked for: the pinned one, else the highest that is not refused."""
        return self.pinned() or next(iter(self._highest(refused)), None)

    def wanted(self, refused: Iterable[str], asked: Iterable[str]) -> list[str]:
        """The versions that should be loaded, the most urgent first: the default one, every one with an alias, the
        highest, and those of `asked` (versions that pictures wait for).
        """
        named = [version for _, version in sorted(self.aliases.items())]
        chosen = [*filter(None, [self.default(refused)]), *named, *self._highest(refused), *sorted(asked, key=int)]
        return [version for version in dict.fromkeys(chosen) if version in self.versions]

    def _highest(self, refused: Iterable[str]) -> list[str]:
        good = [version for version in self.versions if version not in set(refused)]
        return good[-1:]


def look(models_dir: Path, name: str, aliases: Mapping[str, str] | None = None) -> OnDisk:
    """The model as it lies there now; without versions where there is none.

    Args:
        aliases: take these instead of reading the file.

    Raises:
        StartupError: the aliases are damaged.
    """
    found = {version: _print(models_dir / name / version) for version in manifest.versions(models_dir, name)}
    named = manifest.aliases(models_dir, name) if aliases is None else aliases
    return OnDisk({version: seen for version, seen in found.items() if seen}, named)


def _print(folder: Path) -> Print:
    """Empty where the folder vanishes meanwhile."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except FileNotFoundError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)

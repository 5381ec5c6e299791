"""Aliases that were set over HTTP: what the store keeps of them, and the calls that set, drop and read them.

The API writes them, workers read them and let them go before the aliases of their own repositories. A change has an
*edition*, which grows from one to the next: the store's clock in ms, made unique. So whoever has followed an edition
has followed every one before it, and of two changes the later one holds everywhere. Knows no HTTP and no disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, ValidationError

from shared.errors import TooManyAliases
from shared.manifest import ALIAS, NAME, VERSION
from shared.schema import OwnerName, Strict
from shared.store import Call

MOST_ASSIGNED = 1000
"""In one store."""


class Assignment(Strict):
    """One alias of one model.

    Attributes:
        edition: of the change that made it; epoch ms.
        by: the owner of the key that asked for it.
    """

    model: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    alias: Annotated[str, Field(pattern=f"^{ALIAS.pattern}$")]
    version: Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]
    edition: int
    by: OwnerName


@dataclass(frozen=True)
class Assignments:
    """All of them, by model and alias, as they were at one edition; 0: nothing was ever set."""

    edition: int = 0
    of: Mapping[str, Mapping[str, Assignment]] = field(default_factory=dict)

    def find(self, model: str, alias: str) -> Assignment | None:
        """None where the alias was not set, or has been dropped."""
        return self.of.get(model, {}).get(alias)

    def versions(self, model: str) -> dict[str, str]:
        """Version by alias, of one model."""
        return {alias: one.version for alias, one in self.of.get(model, {}).items()}


NOTHING_ASSIGNED = Assignments()


def assign(model: str, alias: str, version: str, by: str) -> Call[int]:
    """Let the alias mean this version. Reads as the edition; where it meant that already, nothing changes.

    Raises (when run):
        TooManyAliases: `MOST_ASSIGNED` others are set.
    """

    def read(reply: int) -> int:
        if reply < 0:
            raise TooManyAliases(f"{MOST_ASSIGNED} aliases are set over HTTP; drop one of them by DELETE first.")
        return reply

    return Call("assign", (f"{model}@{alias}", version, by, MOST_ASSIGNED), read)


def drop(model: str, alias: str) -> Call[int | None]:
    """What the repositories say of the alias holds again. Reads as the edition; None where it was not set."""
    return Call("drop_assigned", (f"{model}@{alias}",), lambda reply: reply or None)


def assignments(known: Assignments = NOTHING_ASSIGNED) -> Call[Assignments]:
    """All of them; `known` itself where nothing changed since."""

    def read(reply: list[Any]) -> Assignments:
        edition, *rest = reply
        if edition == known.edition:
            return known
        of: dict[str, dict[str, Assignment]] = {}
        for one in _read(rest):
            of.setdefault(one.model, {})[one.alias] = one
        return Assignments(edition, of)

    return Call("assignments", (known.edition,), read)


def _read(pairs: list[bytes]) -> Iterator[Assignment]:
    """What is no name, alias or version is left out, whoever wrote it: workers look for files by these."""
    for k in range(0, len(pairs), 2):
        model, _, alias = pairs[k].decode().partition("@")
        edition, version, by = [*pairs[k + 1].decode().split(" "), "", ""][:3]
        told = {"model": model, "alias": alias, "version": version, "edition": edition, "by": by}
        try:
            yield Assignment.model_validate(told)
        except ValidationError:
            continue

"""What the workers announce -> what a client may ask for: models, their versions and aliases. Knows no HTTP.

While a change rolls out, workers say different things; a job may name whatever one live worker has loaded, and where
they disagree on what an alias means, most of them decide (at a tie: the higher version).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.errors import FieldError, UnknownModel
from shared.manifest import DEFAULT_ALIAS, VERSION
from shared.reports import Fleet, ServedModel


@dataclass(frozen=True)
class Offer:
    """One model, as all workers together serve it.

    Attributes:
        default: the version that answers where none is asked for; None where none is loaded.
        aliases: version by alias, without `default`.
        versions: loaded ones, oldest first.
    """

    name: str
    default: str | None
    aliases: Mapping[str, str]
    versions: tuple[str, ...]

    def version(self, asked: str) -> str | None:
        """The loaded version that a version or an alias means; None where there is none."""
        if VERSION.fullmatch(asked):
            meant: str | None = asked
        else:
            meant = self.default if asked == DEFAULT_ALIAS else self.aliases.get(asked)
        return meant if meant in self.versions else None


def offers(fleet: Fleet) -> dict[str, Offer]:
    """All models by name. While no live worker speaks of one, what was last heard of it counts."""
    said: dict[str, list[ServedModel]] = {}
    for report in fleet.live:
        for model in report.models:
            said.setdefault(model.name, []).append(model)
    for name, heard in fleet.heard.items():
        said.setdefault(name, [heard])
    return {name: _together(name, said[name]) for name in sorted(said)}


def resolve(asked: str | None, default_model: str, known: Mapping[str, Offer]) -> str:
    """`name`, `name@version` or `name@alias` -> the reference that a job waits for: `name` or `name@version`.

    Raises:
        UnknownModel: no worker has it loaded; the text says what there is.
    """
    name, _, wanted = (asked or default_model).partition("@")
    offer = known.get(name)
    # The default model is taken on trust: its first worker may still be starting.
    if not wanted and (name == default_model or (offer and offer.versions)):
        return name
    if offer is None or not offer.versions:
        have = ", ".join(one.name for one in known.values() if one.versions) or "none yet"
        raise _unknown(f"No worker serves {asked}; there are: {have}.", "no such model")
    version = offer.version(wanted)
    if version is None:
        aliases = ", ".join(f"{alias} ({meant})" for alias, meant in offer.aliases.items()) or "none"
        there = f"{name} has versions {', '.join(offer.versions)} and these aliases: {aliases}"
        raise _unknown(f"No worker has {asked} loaded; {there}.", "no such version or alias")
    return f"{name}@{version}"


def _unknown(detail: str, reason: str) -> UnknownModel:
    return UnknownModel(detail, errors=(FieldError("model", reason),))


def _together(name: str, said: Iterable[ServedModel]) -> Offer:
    models = list(said)
    versions = sorted({one.version for model in models for one in model.loaded}, key=int)
    named = sorted({alias for model in models for alias in model.aliases})
    meant = {alias: _most(model.aliases.get(alias) for model in models) for alias in named}
    aliases = {alias: version for alias, version in meant.items() if version is not None}
    return Offer(name, _most(model.default for model in models), aliases, tuple(versions))


def _most(votes: Iterable[str | None]) -> str | None:
    counted = Counter(vote for vote in votes if vote is not None)
    return max(counted, key=lambda version: (counted[version], int(version)), default=None)

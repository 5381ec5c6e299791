"""The versions of one model in this worker, and what its name or a version means. State alone: no thread, no I/O.

    loaded --not wanted any more--> leaving --announced, grace over, no open job--> out of reach

A leaving version still answers for `name@version`: somebody may have been told of it a moment ago.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from shared.manifest import DEFAULT_ALIAS
from shared.reports import Refusal, ServedModel
from worker.loading import Served
from worker.ondisk import OnDisk, Print


@dataclass(eq=False)
class Slot:
    """A loaded version.

    Attributes:
        seen: print of the files that it came from.
        users: claims in hand.
        leaving: the revision of the offer that first left it out; None while it is offered.
        told_at: `time.monotonic()` at which that was announced.
        bare: whether it answers for the bare name too, as the last one of a model that is gone from the disk.
    """

    served: Served
    seen: Print
    users: int = 0
    leaving: int | None = None
    told_at: float | None = None
    bare: bool = False

    @property
    def version(self) -> str:
        """As the manifest says."""
        return self.served.manifest.version

    def leave(self, revision: int) -> None:
        """It is offered no more from this revision on."""
        self.leaving, self.told_at = revision, None

    def come_back(self) -> None:
        """It is offered again."""
        self.leaving, self.told_at, self.bare = None, None, False


@dataclass(frozen=True)
class Refused:
    """What could not be loaded; tried again when its print changes or, if it was `crowded`, when none leaves."""

    seen: Print
    refusal: Refusal
    crowded: bool


@dataclass(eq=False)
class Versions:
    """All of one name. `default` and `aliases` point to loaded versions only."""

    name: str
    loaded: dict[str, Slot] = field(default_factory=dict)
    leaving: list[Slot] = field(default_factory=list)
    default: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    bad_aliases: Refusal | None = None

    def find(self, version: str | None) -> Slot | None:
        """What answers for `name@version`, or for the bare name (None)."""
        if version is None:
            return self.loaded[self.default] if self.default else next((s for s in self.leaving if s.bare), None)
        return self.loaded.get(version) or next((slot for slot in self.leaving if slot.version == version), None)

    def shown(self) -> ServedModel:
        """As it is announced."""
        refused = [one.refusal for one in self.refused.values()] + ([self.bad_aliases] if self.bad_aliases else [])
        return ServedModel(
            name=self.name,
            default=self.default,
            aliases=dict(self.aliases),
            loaded=tuple(self.loaded[version].served.loaded for version in sorted(self.loaded, key=int)),
            refused=tuple(refused),
        )

    def references(self, slot: Slot) -> set[str]:
        """Those that this slot alone answers."""
        found = {f"{self.name}@{slot.version}"} if self.find(slot.version) is slot else set()
        return found | ({self.name} if self.find(None) is slot else set())

    @property
    def all_references(self) -> set[str]:
        """Those that anything here answers."""
        return {reference for slot in (*self.loaded.values(), *self.leaving) for reference in self.references(slot)}

    @property
    def pointers(self) -> dict[str, str]:
        """Default and aliases as `aliases.json` would say them."""
        return self.aliases | ({DEFAULT_ALIAS: self.default} if self.default else {})

    @property
    def over(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.loaded or self.leaving or self.refused)

    def put(self, slot: Slot, revision: int) -> None:
        """Offer a loaded version, in the place of another content of the same number."""
        if slot in self.leaving:
            self.leaving.remove(slot)
        slot.come_back()
        old = self.loaded.get(slot.version)
        self.loaded[slot.version] = slot
        if old:
            old.leave(revision)
            self.leaving.append(old)

    def settle(self, disk: OnDisk, wanted: Collection[str], revision: int) -> bool:
        """Point default and aliases to what is loaded now, and let go of the rest. Whether anything changed."""
        default, aliases = self._default(disk), self._aliases(disk)
        keep = {default, *aliases.values(), *wanted}
        leave = [slot for version, slot in self.loaded.items() if version not in keep]
        if not leave and (default, aliases) == (self.default, self.aliases):
            return False
        for slot in leave:
            slot.bare = not disk.versions and slot.version == self.default
            del self.loaded[slot.version]
            slot.leave(revision)
            self.leaving.append(slot)
        self.default, self.aliases = default, aliases
        return True

    def _default(self, disk: OnDisk) -> str | None:
        """The one that should be it once that is loaded; until then, and where it is refused, the one that is."""
        target = disk.default(self.refused)
        if not disk.versions or target in self.loaded:
            return target
        return self.default

    def _aliases(self, disk: OnDisk) -> dict[str, str]:
        """Likewise: an alias moves when its new version is ready."""
        named = {alias: version for alias, version in sorted(disk.aliases.items()) if alias != DEFAULT_ALIAS}
        targets = {
            alias: version if version in self.loaded else self.aliases.get(alias) for alias, version in named.items()
        }
        return {alias: version for alias, version in targets.items() if version and disk.versions}

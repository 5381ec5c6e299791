"""Which models this worker has loaded, and which of them a reference means now. Follows the repository on disk.

Comes in: a look at the disk, aliases set over HTTP, what pictures wait for, what was announced. Goes out: a `Served`
for the time of a claim, and what to announce. Knows neither threads nor queues: `reload.py` calls it again and again,
and task threads use it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared import manifest
from shared.assignments import NOTHING_ASSIGNED
from shared.errors import StartupError
from shared.reports import Description, Refusal, ServedModel
from worker.batcher import Batcher
from worker.loading import Load, Served
from worker.ondisk import OnDisk, Print, look
from worker.versions import Refused, Slot, Versions

logger = logging.getLogger(__name__)

MOST_REASON = 500
"""Characters of a refusal's reason that are announced; the log has all."""


@dataclass(frozen=True)
class Offer:
    """What to announce. `revision` grows with every change of it; `followed` is the edition of the assignments."""

    revision: int
    models: tuple[ServedModel, ...]
    descriptions: tuple[Description, ...]
    followed: int


@dataclass(frozen=True)
class Gone:
    """What ended: versions, references that nothing here answers any more, and models that are gone as a whole."""

    versions: tuple[str, ...] = ()
    references: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Models:
    """The loaded models of one worker process. `using`, `offer`, `announced` and the properties are for any thread; the
    rest is for one at a time.

    Args:
        required: names to serve whatever happens; the start fails without them, and vanishing files do not end them.
        discover: whether every other model in the repository is served too.
        grace_s: a version that is not wanted any more answers for at least this long after that was announced.
    """

    def __init__(
        self, models_dir: Path, load: Load, *, required: Collection[str], discover: bool, grace_s: float
    ) -> None:
        self._models_dir, self._load, self._grace_s = models_dir, load, grace_s
        self._required, self._discover = tuple(required), discover
        self._lock = threading.Lock()
        self._models: dict[str, Versions] = {}
        self._closing: list[Slot] = []
        self._revision = self._followed = 0
        self.assigned = NOTHING_ASSIGNED
        """Aliases set over HTTP; from the next look on they go before those of the repository. For one thread."""

    # -- for any thread

    @contextmanager
    def using(self, reference: str) -> Iterator[Served | None]:
        """The model that the reference means now, kept loaded for the time of the block; None where there is none."""
        name, _, version = reference.partition("@")
        with self._lock:
            model = self._models.get(name)
            slot = model.find(version or None) if model else None
            if slot:
                slot.users += 1
        try:
            yield slot.served if slot else None
        finally:
            if slot:
                with self._lock:
                    slot.users -= 1

    def offer(self) -> Offer:
        """What this worker serves now."""
        with self._lock:
            slots = [slot for model in self._models.values() for slot in model.loaded.values()]
            shown = tuple(model.shown() for model in self._models.values())
            return Offer(self._revision, shown, tuple(slot.served.description for slot in slots), self._followed)

    def announced(self, revision: int) -> None:
        """The offer of this revision is public: the grace of those that it left out begins."""
        with self._lock:
            for slot in (slot for model in self._models.values() for slot in model.leaving):
                if slot.told_at is None and slot.leaving is not None and slot.leaving <= revision:
                    slot.told_at = time.monotonic()

    @property
    def references(self) -> frozenset[str]:
        """Everything that is answered here: pictures may wait for it."""
        with self._lock:
            return frozenset(reference for model in self._models.values() for reference in model.all_references)

    @property
    def leaving(self) -> bool:
        """Whether anything is on its way out."""
        with self._lock:
            return self._crowded()

    @property
    def batchers(self) -> list[Batcher]:
        """Of everything that is loaded."""
        with self._lock:
            return [slot.served.batcher for slot in self._slots()]

    # -- for one thread

    def load_all(self) -> None:
        """The start: everything that is wanted, loaded and warmed.

        Raises:
            StartupError: a required model has no version that works, or not the one that its alias `default` names.
        """
        for name in self._required:
            if not (manifest.NAME.fullmatch(name) and manifest.versions(self._models_dir, name)):
                manifest.read(self._models_dir, name)  # says what is wrong, and what to do
        self.refresh({})
        for name in self._required:
            if self._models[name].default is None:
                reasons = [one.refusal.reason for one in self._models[name].refused.values()]
                raise StartupError(reasons[0] if reasons else f"The files of {name} vanished meanwhile.")

    def refresh(self, asked: Mapping[str, Collection[str]], stopping: Callable[[], bool] = lambda: False) -> None:
        """Follow the disk: load what is new beside what is there, switch, and let go of what is not wanted any more.

        Args:
            asked: versions that pictures wait for, by name.
            stopping: asked before each load.
        """
        if not self._models_dir.is_dir():
            return  # not mounted just now: what is loaded goes on
        names = [*self._required, *(manifest.names(self._models_dir) if self._discover else ())]
        with self._lock:
            for name in names:
                self._models.setdefault(name, Versions(name))
        for name, model in list(self._models.items()):
            disk = self._look(model)
            if disk.versions or name not in self._required:
                self._follow(model, disk, asked.get(name, ()), stopping)
        if self._followed != self.assigned.edition and not stopping():
            with self._lock:
                self._followed = self.assigned.edition
                self._revision += 1

    def retire(self, open_jobs: Mapping[str, int]) -> None:
        """Take what leaves out of reach where its grace is over and no open job names it.

        Args:
            open_jobs: how many are accepted and not ended, by reference.
        """
        over = time.monotonic() - self._grace_s
        with self._lock:
            for model in self._models.values():
                for slot in list(model.leaving):
                    asked_for = any(open_jobs.get(reference, 0) for reference in model.references(slot))
                    if slot.told_at is not None and slot.told_at <= over and not asked_for:
                        model.leaving.remove(slot)
                        self._closing.append(slot)

    def close_unused(self, timeout_s: float) -> Gone:
        """End what is out of reach and in nobody's hands."""
        with self._lock:
            ended = [slot for slot in self._closing if slot.users == 0]
            self._closing = [slot for slot in self._closing if slot.users]
            names = {name for name, model in self._models.items() if model.over and name not in self._required}
            for name in names:
                del self._models[name]
            if not self._crowded():
                for model in self._models.values():
                    again = {version: one for version, one in model.refused.items() if not one.crowded}
                    self._revision += len(again) < len(model.refused)
                    model.refused = again
        for slot in ended:
            slot.served.batcher.close(timeout_s)
        versions = tuple(slot.served.description.reference for slot in ended)
        return Gone(versions, frozenset(versions) - self.references, frozenset(names))

    def close(self, timeout_s: float) -> None:
        """End everything, at the end of the process."""
        with self._lock:
            slots = self._slots()
        until = time.monotonic() + timeout_s
        for slot in slots:
            slot.served.batcher.close(max(0.0, until - time.monotonic()))

    def _slots(self) -> list[Slot]:
        models = self._models.values()
        return [slot for model in models for slot in (*model.loaded.values(), *model.leaving)] + self._closing

    def _crowded(self) -> bool:
        return bool(self._closing) or any(model.leaving for model in self._models.values())

    def _look(self, model: Versions) -> OnDisk:
        """With the aliases as they were, where the file is damaged. Raises StartupError where there were none yet."""
        try:
            disk, bad = look(self._models_dir, model.name), None
        except StartupError as error:
            if model.default is None and model.name in self._required:
                raise
            disk, bad = look(self._models_dir, model.name, model.pointers), self._refusal(None, error.detail)
        with self._lock:
            if (bad is None) != (model.bad_aliases is None):
                model.bad_aliases = bad
                self._revision += 1
                if bad:
                    logger.error("aliases refused", extra={"model": model.name, "reason": bad.reason})
        return disk.under(self.assigned.versions(model.name))

    def _follow(self, model: Versions, disk: OnDisk, asked: Collection[str], stopping: Callable[[], bool]) -> None:
        with self._lock:
            tried = {version: one for version, one in model.refused.items() if disk.versions.get(version) == one.seen}
            if len(tried) < len(model.refused):
                model.refused = tried
                self._revision += 1
        while not stopping():
            wanted = disk.wanted(model.refused, asked)
            missing = [v for v in wanted if v not in model.refused and not self._current(model, disk, v)]
            if missing:
                self._bring(model, missing[0], disk.versions[missing[0]])
            with self._lock:
                if model.settle(disk, wanted, self._revision + 1):
                    self._revision += 1
                    now = {"model": model.name, "default": model.default, "aliases": dict(model.aliases)}
                    logger.info("model switched", extra=now | {"loaded": sorted(model.loaded, key=int)})
            if not missing:
                return

    def _current(self, model: Versions, disk: OnDisk, version: str) -> bool:
        """Whether this very content is loaded: a number that was removed can be given again."""
        slot = model.loaded.get(version)
        if slot is None:
            return False
        if slot.seen != disk.versions[version]:
            try:
                described, _ = manifest.read(self._models_dir, model.name, version)
            except StartupError:
                return False
            if described != slot.served.manifest:
                return False
            slot.seen = disk.versions[version]
        return True

    def _bring(self, model: Versions, version: str, seen: Print) -> None:
        """Load one version beside what is there, or take it back from those that leave, or refuse it."""
        slot = next((one for one in model.leaving if one.version == version and one.seen == seen), None)
        if slot is None:
            try:
                slot = Slot(self._load(*manifest.read(self._models_dir, model.name, version)), seen)
            except Exception as error:
                self._refuse(model, version, seen, error)
                return
        with self._lock:
            self._revision += 1
            model.put(slot, self._revision)

    def _refuse(self, model: Versions, version: str, seen: Print, error: Exception) -> None:
        """One broken version ends nothing else, whatever it raised."""
        known = isinstance(error, StartupError)
        reason = error.detail if isinstance(error, StartupError) else "An unforeseen error; the worker's log has it."
        found = {"model": model.name, "version": version, "reason": reason}
        logger.error("version refused", extra=found, exc_info=None if known else error)
        with self._lock:
            refused = Refused(seen, self._refusal(version, reason), self._crowded())
            model.refused = model.refused | {version: refused}
            self._revision += 1

    def _refusal(self, version: str | None, reason: str) -> Refusal:
        short = reason.replace(f"{self._models_dir}/", "")[:MOST_REASON]
        return Refusal(version=version, reason=short, at_ms=time.time_ns() // 1_000_000)

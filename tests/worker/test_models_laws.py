"""Whatever happens to the repository, and in whatever order a worker's threads notice: the laws of references."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.assignments import Assignment, Assignments
from tests.worker.fake_models import FakeLoad, put
from worker.loading import Served
from worker.models import Models

VERSIONS = st.integers(1, 4).map(str)
ALIASES = st.sampled_from(["default", "stable", "canary"])


class Repository(RuleBasedStateMachine):
    """Versions come, go and break, aliases move, jobs are open for what was offered, tasks hold what they use."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.load = FakeLoad()
        self.named: dict[str, str] = {}
        self.open: dict[str, int] = {}
        self.held: list[tuple[ExitStack, Served]] = []
        self.edition = 0

    @initialize()
    def start(self) -> None:
        put(self.folder, "m", "1")
        self.models = Models(self.folder, self.load, required=("m",), discover=False, grace_s=0)
        self.models.load_all()

    @rule(version=VERSIONS, broken=st.booleans())
    def install(self, version: str, broken: bool) -> None:
        self.load.broken.pop(f"m@{version}", None)
        if broken:
            self.load.refuse(f"m@{version}")
        put(self.folder, "m", version, ("e" if broken else "a") * 64)

    @rule(version=VERSIONS)
    def remove(self, version: str) -> None:
        shutil.rmtree(self.folder / "m" / version, ignore_errors=True)

    @rule(alias=ALIASES, version=VERSIONS)
    def point(self, alias: str, version: str) -> None:
        self.named[alias] = version
        (self.folder / "m").mkdir(exist_ok=True)
        (self.folder / "m" / "aliases.json").write_text(json.dumps(self.named))

    @rule(said=st.dictionaries(ALIASES, VERSIONS))
    def assign(self, said: dict[str, str]) -> None:
        """Aliases are set or dropped over HTTP."""
        self.edition += 1
        told = {
            alias: Assignment(model="m", alias=alias, version=version, edition=self.edition, by="shop")
            for alias, version in said.items()
        }
        self.models.assigned = Assignments(self.edition, {"m": told})

    @rule()
    def reload(self) -> None:
        self.models.refresh({})

    @rule(again=st.booleans())
    def tick(self, again: bool) -> None:
        """All threads have their turn."""
        for _ in range(1 + again):
            self.models.refresh({})
            self.models.announced(self.models.offer().revision)
            self.retire()

    @rule()
    def retire(self) -> None:
        self.models.retire(self.open)
        self.models.close_unused(5)

    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        """A job is bound to what is offered now."""
        offered = sorted(ref for model in self.models.offer().models for ref in (*model.references, model.name))
        reference = data.draw(st.sampled_from(offered))
        self.open[reference] = self.open.get(reference, 0) + 1

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """The job's picture is claimed, and its version held for a while."""
        reference = data.draw(st.sampled_from(sorted(self.open)))
        stack = ExitStack()
        served = stack.enter_context(self.models.using(reference))
        assert served is not None, f"nothing answers {reference}, which an open job names"
        assert reference in ("m", f"m@{served.manifest.version}")
        self.held.append((stack, served))

    @precondition(lambda self: self.held)
    @rule()
    def finish(self) -> None:
        stack, _ = self.held.pop()
        stack.close()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        reference = data.draw(st.sampled_from(sorted(self.open)))
        self.open[reference] -= 1
        if not self.open[reference]:
            del self.open[reference]

    @invariant()
    def what_is_offered_or_open_is_answered(self) -> None:
        if not hasattr(self, "models"):
            return
        (model,) = self.models.offer().models
        assert model.default is not None
        loaded = {one.version for one in model.loaded}
        assert {model.default, *model.aliases.values()} <= loaded
        assert {*model.references, "m", *self.open} <= self.models.references
        for _, served in self.held:
            assert served.batcher.alive, "a version ended in somebody's hands"

    def teardown(self) -> None:
        while self.held:
            self.finish()
        if hasattr(self, "models"):
            for _ in range(2):  # the second one tries again what was refused while others were leaving
                self.open = {}
                self.tick(False)
            (model,) = self.models.offer().models
            assert self.load.running == len(model.loaded), "something is still in memory"
            self.models.close(5)
        shutil.rmtree(self.folder)


TestRepository = Repository.TestCase
TestRepository.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)

"""API fuzz: every operation of the service's own OpenAPI document, adapters included, against the service as it runs.

Of each operation: the document's own examples; what schemathesis makes of its schema, allowed and not, at the bounds
and at random; requests with no key, a wrong one and one without the scope; and what no schema describes
(api_damage.py). Half of the requests name things that are there (api_stage.py). What an answer must be: api_checks.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from bench.arguments import say
from bench.faults import api_damage
from bench.faults.api_asking import Asker, Found, Store
from bench.faults.api_stage import make_key
from bench.faults.scenario import Row, chance, conclude, parser, workplace
from bench.faults.service import Service
from shared.connection import connect
from shared.keys import new_key
from shared.store import JobStore

SHOWN = 40
SETTINGS = {
    "adapters": "all", "webhook_secret": "whsec_c3BvdHRlci1mYXVsdHMtYmVuY2gtc2VjcmV0IQ==", "webhook_timeout_s": "1",
    "fetch_timeout_s": "0.3", "max_pictures": "30", "queue_limit": "10000000", "owner_rate": "0",
    "owner_open_jobs": "0", "owner_waiting": "0",
}  # fmt: skip
"""What the requests name is not there, adapters wait for their jobs, and nothing is to be refused for want of room."""
PARTS = {"at the bounds": 0.3, "allowed": 0.2, "not allowed": 0.25, "keys": 0.05, "damaged": 0.2}
"""Of the cases of one operation."""


class Fuzz:
    """All operations of one service's document. `number` is the seed; `model` one that a worker serves."""

    def __init__(self, base_url: str, store: Store, model: str, number: int) -> None:
        self._random, self._number = chance(number, "fuzz"), number
        self._asker = Asker(base_url, store, model, self._random)
        schemathesis.serializer.alias("application/zip", "application/octet-stream")
        document = httpx.get(f"{base_url}/openapi.json", headers=self._asker.headers, timeout=30).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=base_url)
        schema.config.generation.update(with_security_parameters=False)
        every = list(schema.get_all_operations())
        if wrong := [one for one in every if not isinstance(one, Ok)]:
            raise RuntimeError(f"the document is not valid: {wrong}")
        self.operations: list[Any] = [one.ok() for one in every if isinstance(one, Ok)]
        self._reader = make_key(store.api, "reader", "jobs:read")
        self._meter = make_key(store.api, "meter", "metrics")

    @property
    def headers(self) -> dict[str, str]:
        """A key that may do everything."""
        return self._asker.headers

    def run(self, cases: int) -> Found:
        """About `cases` of them, in equal parts for each operation."""
        share = max(len(PARTS), -(-cases // len(self.operations)))
        with self._asker:
            for operation in self.operations:
                before = self._asker.found.cases
                self._examples(operation)
                self._keys(operation, max(1, int(share * PARTS["keys"]) // 4))
                self._at_the_bounds(operation, int(share * PARTS["at the bounds"]))
                if can_be_wrong(operation.definition.raw):
                    self._drawn(operation, GenerationMode.NEGATIVE, "not allowed", int(share * PARTS["not allowed"]))
                self._drawn(operation, GenerationMode.POSITIVE, "allowed", max(1, int(share * PARTS["allowed"])))
                self._damaged(operation, share - (self._asker.found.cases - before))
        return self._asker.found

    # -- kinds of cases -----------------------------------------------------------------------------------------------

    def _examples(self, operation: Any) -> None:  # noqa: ANN401 - schemathesis'
        """The document's, as they are."""
        for kind, value in examples(operation.definition.raw):
            self._asker.turn()
            case = operation.Case(
                path_parameters=dict.fromkeys(_names(operation.path), ""), body=value, media_type=kind
            )
            self._asker.aim(case)
            self._asker.judged(case, "examples")

    def _at_the_bounds(self, operation: Any, most: int) -> None:  # noqa: ANN401
        every = list(
            operation.schema.iter_coverage_cases(
                operation, generation_modes=list(GenerationMode), generation_config=operation.schema.config.generation
            )
        )
        for case in self._random.sample(every, min(most, len(every))):
            self._aimed(case, "at the bounds")

    def _drawn(self, operation: Any, mode: GenerationMode, kind: str, most: int) -> None:  # noqa: ANN401
        strategy = operation.as_strategy(generation_mode=mode)
        for _ in range(3):  # hypothesis stops where it has nothing new
            left = most - self._draw(strategy, lambda case: self._aimed(case, kind), most)
            self._number += 1
            if (most := left) <= 0:
                return

    def _draw(self, strategy: Any, use: Callable[[Any], None], most: int) -> int:  # noqa: ANN401
        """Up to `most` of the strategy's; how many there were."""
        used = 0

        def one(case: Any) -> None:  # noqa: ANN401
            nonlocal used
            if used < most:
                used += 1
                use(case)

        tried = settings(max_examples=most, deadline=None, database=None, phases=[Phase.generate],
                         suppress_health_check=list(HealthCheck))  # fmt: skip
        with suppress(Unsatisfiable):  # nothing of an operation without parameters can be wrong
            seed(self._number)(tried(given(case=strategy)(one)))()
        return used

    def _keys(self, operation: Any, most: int) -> None:  # noqa: ANN401
        """Without a key, with one that nobody has, with one that is none, and with one for something else."""
        if not operation.definition.raw.get("security"):
            return
        other = self._reader if operation.path == "/metrics" else self._meter
        asked = ((None, 401), (new_key(), 401), ("spt_no_key", 401), (other, 403))

        def each(case: Any) -> None:  # noqa: ANN401
            self._asker.aim(case)
            for key, status in asked:
                answer = self._asker.send(case, {"Authorization": f"Bearer {key}"} if key else {}, "keys")
                if answer.status_code != status:
                    self._asker.wrong(case, f"{answer.status_code} instead of {status} with the key {key}", answer)

        self._draw(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), each, most)

    def _damaged(self, operation: Any, most: int) -> None:  # noqa: ANN401
        """What no schema describes."""
        raw = operation.definition.raw
        bodies = list(api_damage.BODIES)
        for kind, value in examples(raw):
            if kind == "application/json":
                bodies += [(kind, body) for body in api_damage.spoiled(value)]
        for _ in range(most):
            self._asker.turn()
            what = self._random.random()
            values = self._asker.values(ended=True)
            sent, headers, body = api_damage.filled(operation.path, values), self._asker.headers, b""
            if what < 0.6 and "requestBody" in raw:
                sort, body = self._random.choice(bodies)
                headers |= {} if sort is None else {"Content-Type": sort}
            elif what < 0.8:
                headers |= self._random.choice(api_damage.HEADERS)
            else:
                sent = self._random.choice(list(api_damage.paths(operation.path, values)))
            self._asker.raw(operation, sent, headers, body)

    def _aimed(self, case: Any, kind: str) -> None:  # noqa: ANN401
        """At what is there, every other time."""
        self._asker.turn()
        if self._random.random() < 0.5 or case.path.endswith("/events"):  # streams of other jobs do not end
            self._asker.aim(case)
        self._asker.judged(case, kind)


def _names(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def can_be_wrong(operation: Mapping[str, Any]) -> bool:
    """Whether its schema forbids anything: any text may stand in paths and headers of which it says no more."""
    return "requestBody" in operation or any(
        one["in"] not in ("path", "header") or not _any_text(one["schema"]) for one in operation.get("parameters", ())
    )


def _any_text(schema: Mapping[str, Any]) -> bool:
    forms = schema.get("anyOf", [schema])
    return all(
        one["type"] in ("string", "null") and not {"pattern", "minLength", "maxLength"} & set(one) for one in forms
    )


def examples(operation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Content type and value of each example of an operation's body."""
    for kind, form in operation.get("requestBody", {}).get("content", {}).items():
        if "example" in form:
            yield kind, form["example"]
        for one in form.get("examples", {}).values():
            yield kind, one["value"]


def run(asked: argparse.Namespace) -> Row:
    """`cases` of them against a whole service with one worker, all adapters, and API keys asked for."""
    with (
        workplace("api_fuzz") as (folder, models),
        Service(folder, models, workers=1, settings=SETTINGS) as service,
        connect(service.store_url_of("api"), "api") as api,
        connect(service.store_url_of("worker-1"), "worker") as worker,
    ):
        store = Store(JobStore(api), JobStore(worker))
        fuzz = Fuzz(f"http://127.0.0.1:{service.port}", store, "yolov3-tiny", asked.seed)
        found = fuzz.run(asked.cases)
    for text in found.wrong[:SHOWN]:
        say(text)
    missed = {operation.label for operation in fuzz.operations} - set(found.operations)
    say(json.dumps({"by operation": found.operations, "by check": found.judge.looks}))
    return Row(
        load=f"{asked.cases:,} cases over all {len(fuzz.operations)} operations of the document, adapters included",
        fault="values of every kind, allowed and not, keys missing and wrong, bodies damaged below their schema",
        reach="0 answers of 5xx, every status documented, every error of our routes problem+json with a stable code",
        measured={
            "cases": found.cases, "operations never met": sorted(missed),
            "fewest cases of one": min(found.operations.values()), "wrong": len(found.wrong),
            "5xx": sum(count for status, count in found.statuses.items() if status >= 500),
            "looks by check": dict(found.judge.looks), "kinds": dict(found.kinds),
            "answers": {str(status): count for status, count in sorted(found.statuses.items())},
        },
        held=not found.wrong and not missed and found.cases >= asked.cases * 0.9,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"cases": 20_000}, {"cases": 700}).read())


if __name__ == "__main__":
    main()

"""API fuzz: what schemathesis makes of the service's own OpenAPI document, valid and not, against every route.

No answer may be 5xx, every error is a problem with the stable fields (an adapter's: of its documented type), and every
status is one that the document names. Half of the requests that name a job name one that is there. Waits are cut to
nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from bench.arguments import say
from bench.faults.scenario import Row, chance, conclude, parser, workplace
from bench.faults.service import Service

FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id"}
PROBLEM = "application/problem+json"
SHOWN = 20
FETCH_S = 0.5
"""What the requests name is not there, and adapters wait for their jobs."""
JOB = {"image": {"url": "https://example.com/dog.jpg"}}


@dataclass
class Found:
    """Answers by status, and what was wrong, a sentence each."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many were answered."""
        return self.statuses.total()


def fuzz(base_url: str, headers: Mapping[str, str], cases: int, number: int, only: str = "") -> Found:
    """`cases` requests in all, in equal parts for each operation; `number` is the seed.

    `only`: operations with a tag that begins so.
    """
    found, random = Found(), chance(number, "jobs")
    with httpx.Client(base_url=base_url, headers=dict(headers), timeout=30) as client:
        document = client.get("/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=base_url)
        every = list(schema.get_all_operations())
        operations = [result.ok() for result in every if isinstance(result, Ok)]
        if len(operations) < len(every):
            raise RuntimeError(f"the document is not valid: {[one for one in every if not isinstance(one, Ok)]}")
        operations = [one for one in operations if not only or any(tag.startswith(only) for tag in one.tags or ())]
        jobs = [client.post("/jobs", json=JOB).json()["id"] for _ in range(5)]
        while found.cases < cases:
            for operation in operations:
                for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
                    job = random.choice(jobs) if random.random() < 0.5 else None
                    _some(operation, mode, max(1, cases // len(operations) // 2), number, partial(
                        _ask, found, headers, document["paths"][operation.path], job
                    ))  # fmt: skip
            number += 1  # operations with little to vary are done before their share is
    return found


def _some(operation: Any, mode: GenerationMode, cases: int, number: int, ask: Callable[[Any], None]) -> None:  # noqa: ANN401
    """Up to `cases` different ones of one operation."""

    def one(case: Any) -> None:  # noqa: ANN401 - schemathesis' case
        ask(case)

    tried = settings(max_examples=cases, deadline=None, database=None, phases=[Phase.generate],
                     suppress_health_check=list(HealthCheck))  # fmt: skip
    with suppress(Unsatisfiable):  # nothing of an operation without parameters can be wrong
        seed(number)(tried(given(case=operation.as_strategy(generation_mode=mode))(one)))()


def _ask(found: Found, headers: Mapping[str, str], path: Mapping[str, Any], job: str | None, case: Any) -> None:  # noqa: ANN401
    _aim(case, job)
    answer = case.call(headers=dict(headers))
    found.statuses[answer.status_code] += 1
    if what := _wrong(answer, path.get(case.method.lower(), {}).get("responses", {}), case.formatted_path):
        found.wrong.append(f"{case.method} {case.formatted_path}: {what}")


def _aim(case: Any, job: str | None) -> None:  # noqa: ANN401
    """Name a job that is there, where one is named, and do not wait."""
    if job and "job" in (case.path_parameters or {}):
        case.path_parameters["job"] = job
    follows = case.path.endswith("/results") and str((case.query or {}).get("follow", "false")).lower() != "false"
    if follows or case.path.endswith("/events"):
        case.path_parameters["job"] = "job_that-is-not-there"  # a stream ends with its job, and these do not end
    if "wait" in (case.query or {}):
        case.query["wait"] = 0
    for name in case.headers or ():
        if name.lower() == "prefer":
            case.headers[name] = "wait=0"


def _wrong(answer: Any, named: Mapping[str, Any], path: str) -> str | None:  # noqa: ANN401 - schemathesis' response
    """What an answer must not be. (`/readyz` says 503 itself: no worker runs here.)"""
    if path == "/readyz" and answer.status_code == 503:
        return None
    status, kind = answer.status_code, answer.headers.get("content-type", [""])[0]
    if status >= 500:
        return f"{status} {answer.content[:200]!r}"
    if str(status) not in named and status != 405:
        return f"{status} is not in the document: {answer.content[:200]!r}"
    if status >= 400:
        kind = kind.split(";")[0]
        if kind not in named.get(str(status), {}).get("content", {PROBLEM: {}}):
            return f"{status} came as {kind}"
        ours = "schemas/Problem" in str(named.get(str(status), "schemas/Problem"))
        if ours and (not set(problem := json.loads(answer.content)) >= FIELDS or problem["status"] != status):
            return f"{status} is not a whole problem: {problem}"
    return None


def run(asked: argparse.Namespace) -> Row:
    """`cases` of them against a whole service with one worker, all adapters, and API keys asked for."""
    settings = {"queue_limit": "10000000", "adapters": "all", "fetch_timeout_s": str(FETCH_S)}
    with workplace("api_fuzz") as (folder, models), Service(folder, models, workers=1, settings=settings) as service:
        headers = {"Authorization": f"Bearer {service.key}"}
        found = fuzz(f"http://127.0.0.1:{service.port}", headers, asked.cases, asked.seed)
    for text in found.wrong[:SHOWN]:
        say(text)
    return Row(
        load=f"{asked.cases:,} cases of schemathesis over all routes, those of the adapters among them",
        fault="values of every kind, allowed and not, in paths, queries, headers and bodies",
        reach="0 answers of 5xx, every error problem+json, every status documented",
        measured={"cases": found.cases, "wrong": len(found.wrong)}
        | {f"answered {status}": count for status, count in sorted(found.statuses.items())},
        held=not found.wrong and found.cases >= asked.cases * 0.9,
    )


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"cases": 10_000}, {"cases": 500}).read())


if __name__ == "__main__":
    main()

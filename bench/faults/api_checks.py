"""What every answer of the API fuzz must be: schemathesis' checks, which of them hold where and why not elsewhere, and
our own of the form of errors.

In: a case and its answer. Out: what was wrong, a sentence each. Knows no service and sends nothing but what
schemathesis' check of keys does.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks as openapi

from shared.errors import SpotterError

PROBLEM = "application/problem+json"
FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id"}
Check = Callable[..., bool | None]

EVERYWHERE: dict[str, Check] = {
    "not_a_server_error": not_a_server_error,
    "status_code_conformance": openapi.status_code_conformance,
    "content_type_conformance": openapi.content_type_conformance,
    "response_headers_conformance": openapi.response_headers_conformance,
    "response_schema_conformance": openapi.response_schema_conformance,
    "missing_required_header": openapi.missing_required_header,
    "unsupported_method": openapi.unsupported_method,
    "allow_header_conformance": openapi.allow_header_conformance,
    "negative_data_rejection": openapi.negative_data_rejection,
    "positive_data_acceptance": openapi.positive_data_acceptance,
    "ignored_auth": openapi.ignored_auth,
}
"""Left out everywhere: `use_after_free`, `ensure_resource_availability` and `object_level_authorization`, which follow
one resource through several requests; tests/api/test_ends.py and test_owners.py do that for every route.
"""
SHARED = frozenset({"POST /detect", "POST /predict"})
TAKE_JOBS = frozenset({"POST /jobs", "PUT /jobs/{job}"})


def _positive(case: Any) -> str | None:  # noqa: ANN401 - schemathesis'
    label = case.operation.label
    if label in TAKE_JOBS:
        return "whether base64 is a picture, a model is served and webhooks are on is in no schema"
    if label == "POST /uploads":
        return "that a file is not empty is in no schema"
    if label == "POST /webhooks/test":
        return "that an endpoint is https:// is a setting"
    if label == "POST /deliveries/recover":
        return "that `until` is after `since` is in no schema"
    if label == "GET /jobs/{job}/results" and len({"format", "after", "limit", "follow"} & set(case.query)) > 1:
        return "pages, other forms and following exclude each other, which parameters cannot say in OpenAPI"
    if _of_an_adapter(case):
        return "the document has the outline of another system's requests, and pictures that cannot be read are refused"
    return None


def _negative(case: Any) -> str | None:  # noqa: ANN401
    if str(case.media_type).startswith("multipart/") and case.meta.is_negative_at(ParameterLocation.BODY):
        return "the values of a form are texts: what is meant as another type arrives as one that is allowed"
    if "type" in (case.meta.phase.data.description or "") and (
        case.operation.label in TAKE_JOBS or _of_an_adapter(case)
    ):
        return "options may come as pydantic reads them: numbers as texts, switches as 0 and 1"
    if case.operation.label in SHARED:
        return "two systems have the path: what the parameters of one forbid is nothing to the other"
    return None


def _method(case: Any) -> str | None:  # noqa: ANN401
    if case.path.startswith("/v1/models/"):
        return "TensorFlow Serving answers 404, 'Malformed request', to what is none of its calls"
    return None


def _allow(case: Any) -> str | None:  # noqa: ANN401
    templates = (re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) for path in case.operation.schema)
    if sum(re.fullmatch(one, case.formatted_path) is not None for one in templates) > 1:
        return "such a path is one of another operation, too, and has its methods as well"
    return None


def _schema(case: Any) -> str | None:  # noqa: ANN401
    if case.operation.label == "GET /jobs/{job}/events":
        return "the document has the stream as text, and schemathesis reads an object from each event of it"
    return None


def _of_an_adapter(case: Any) -> bool:  # noqa: ANN401
    return any(tag.startswith("adapter") for tag in case.operation.tags or ())


LEFT_OUT: dict[str, Callable[[Any], str | None]] = {
    "positive_data_acceptance": _positive,
    "negative_data_rejection": _negative,
    "unsupported_method": _method,
    "allow_header_conformance": _allow,
    "response_schema_conformance": _schema,
}
"""By check: why it does not hold for a case, or None where it does."""
OF_MODE = {"negative_data_rejection": GenerationMode.NEGATIVE, "positive_data_acceptance": GenerationMode.POSITIVE}
PROBED = 2
"""`ignored_auth` sends two more requests for an answer that is a success: for so many of an operation."""


def codes() -> frozenset[str]:
    """Every code that an error of ours may have."""

    def below(kind: type[SpotterError]) -> Iterator[type[SpotterError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    return frozenset(one.code for one in below(SpotterError) if one.__module__.startswith("shared."))


@dataclass
class Judge:
    """Looks at answers. `looks` counts them by check, `probes` the successes of each operation whose key was tried."""

    looks: Counter[str] = field(default_factory=Counter)
    probes: Counter[str] = field(default_factory=Counter)
    _codes: frozenset[str] = field(default_factory=codes)

    def wrong(self, case: Any, answer: Any, headers: Mapping[str, str]) -> list[str]:  # noqa: ANN401 - schemathesis'
        """What schemathesis and our own check find wrong with the answer to a case that went with these headers."""
        chosen = list(self._chosen(case, answer))
        self.looks.update(chosen)
        found = []
        try:
            case.validate_response(
                answer, [EVERYWHERE[name] for name in chosen], headers=dict(headers),
                transport_kwargs={"headers": dict(headers)},
            )  # fmt: skip
        except FailureGroup as group:
            found = [_said(one) for one in group.exceptions]
        return [*found, *self.form(case.operation.definition.raw, answer.status_code, answer.headers, answer.content)]

    def plain(self, operation: Mapping[str, Any], status: int, headers: Mapping[str, Any], content: bytes) -> list[str]:
        """What is wrong with the answer to a request that schemathesis cannot make."""
        self.looks["plain"] += 1
        found = [] if status < 500 else [f"{status} {content[:300]!r}"]
        (kind, *_) = headers.get("content-type", [""])
        kind, types = kind.split(";")[0], named(operation, status)
        if str(status) not in operation["responses"] and status not in (404, 405):
            found.append(f"{status} is not in the document: {content[:300]!r}")
        elif types and kind not in types and kind != PROBLEM:
            found.append(f"{status} came as {kind}, not {types}")
        return [*found, *self.form(operation, status, headers, content)]

    def form(self, operation: Mapping[str, Any], status: int, headers: Mapping[str, Any], content: bytes) -> list[str]:
        """What is wrong with an error of a route whose errors are problems: a field is missing, or the code unknown."""
        if status < 400:
            return []
        self.looks["problem"] += 1
        (kind, *_) = headers.get("content-type", [""])
        ours = "schemas/Problem" in json.dumps(operation.get("responses", {}).get(str(status), "schemas/Problem"))
        if not ours or (kind != PROBLEM and kind in named(operation, status)):
            return []
        try:
            problem = json.loads(content)
            whole = set(problem) >= FIELDS and problem["status"] == status and problem["code"] in self._codes
        except (ValueError, TypeError):
            whole = False
        return [] if whole and kind == PROBLEM else [f"{status} is not a whole problem: {kind} {content[:300]!r}"]

    def _chosen(self, case: Any, answer: Any) -> Iterator[str]:  # noqa: ANN401
        label, meta = case.operation.label, case.meta
        for name in EVERYWHERE:
            if name in OF_MODE and (meta is None or meta.generation.mode is not OF_MODE[name]):
                continue
            if name in LEFT_OUT and LEFT_OUT[name](case):
                continue
            if name == "ignored_auth":
                if not 200 <= answer.status_code < 300 or self.probes[label] >= PROBED:
                    continue
                self.probes[label] += 1
            yield name


def named(operation: Mapping[str, Any], status: int) -> set[str]:
    """The content types that the document has for this status of an operation."""
    return set(operation.get("responses", {}).get(str(status), {}).get("content", {}))


def _said(one: Failure) -> str:
    return " ".join(f"{one.title}: {one.message}".split())[:600]


load_all_checks()

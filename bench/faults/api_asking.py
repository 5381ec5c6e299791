"""How the API fuzz sends its cases: with the key of a stage, at things that are there, and judged.

In: cases of schemathesis, and requests as bytes. Out: `Found`. Knows nothing of where cases come from.
"""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

import requests
from schemathesis.core.parameters import ParameterLocation

from bench.faults.api_checks import Judge
from bench.faults.api_stage import PICTURE, Stage, png, set_stage, zipped
from shared.store import JobStore

RENEWED = 25
"""Requests for which a stage is used; with more calls about webhooks its owner would be told to wait."""
TIMEOUT_S = 30


@dataclass
class Found:
    """Cases by operation, by kind and by status of their answers, looks by check, and what was wrong."""

    operations: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    judge: Judge = field(default_factory=Judge)

    @property
    def cases(self) -> int:
        """How many were answered."""
        return self.statuses.total()


@dataclass(frozen=True)
class Store:
    """The service's store with the rights of an API and of a worker."""

    api: JobStore
    worker: JobStore


class Asker:
    """Sends to one service. `model` is one that a worker serves; `random` chooses what is named."""

    def __init__(self, base_url: str, store: Store, model: str, random: Random) -> None:
        self.found, self.store = Found(), store
        self._base_url, self._model, self._random = base_url, model, random
        self._stages = self._uses = 0
        self.stage = self._set()
        address = urlsplit(base_url)
        self._line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        self._session = requests.Session()

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._session.close()

    @property
    def headers(self) -> dict[str, str]:
        """The stage's key."""
        return {"Authorization": f"Bearer {self.stage.key}"}

    def turn(self) -> None:
        """Another stage when this one is worn."""
        self._uses += 1
        if self._uses % RENEWED == 0:
            self.stage = self._set()

    def values(self, *, ended: bool) -> dict[str, str]:
        """Of parameters of a path: what the stage has."""
        return self.stage.parameters(self._random, ended=ended)

    def judged(self, case: Any, kind: str) -> None:  # noqa: ANN401 - schemathesis' case
        """Send a case, and note what is wrong with its answer."""
        headers = self.headers
        answer = self.send(case, headers, kind)
        for what in self.found.judge.wrong(case, answer, headers):
            self.wrong(case, what, answer)

    def send(self, case: Any, headers: Mapping[str, str], kind: str) -> Any:  # noqa: ANN401
        """Send a case; its answer."""
        _do_not_wait(case)
        answer = case.call(headers=dict(headers), session=self._session, timeout=TIMEOUT_S)
        self._count(case.operation.label, kind, answer.status_code)
        return answer

    def wrong(self, case: Any, what: str, answer: Any) -> None:  # noqa: ANN401
        """Note it."""
        sent = f"{case.formatted_path[:150]} {str(case)[:500]}"
        self.found.wrong.append(
            f"{case.operation.label}: {what} [{answer.status_code} {answer.content[:200]!r}] {sent}"
        )

    def raw(self, operation: Any, path: str, headers: Mapping[str, str], body: bytes) -> None:  # noqa: ANN401
        """A request as it is, past every library that would mend it, and judged.

        One that is refused before it is whole may end its connection, so it is sent again on a new one.
        """
        method, sent = operation.method.upper(), {name: value.encode("latin-1") for name, value in headers.items()}
        for last in (False, True):
            try:
                self._line.request(method, path, body, sent)
                answer = self._line.getresponse()
                content = answer.read()
                break
            except (OSError, http.client.HTTPException):
                self._line.close()
                if last:
                    raise
        self._count(operation.label, "damaged", answer.status)
        found = {name.lower(): [value] for name, value in answer.getheaders()}
        for one in self.found.judge.plain(operation.definition.raw, answer.status, found, content):
            self.found.wrong.append(f"{operation.label}: {one} {path[:200]} {str(headers)[:300]} {body[:200]!r}")

    def aim(self, case: Any) -> None:  # noqa: ANN401
        """Name what is there in the path, and send a picture where one is asked for and the body is as it should be."""
        values = self.values(ended=case.path.endswith(("/events", "/results")))  # streams end with jobs
        meta = case.meta
        if meta is None or not meta.is_negative_at(ParameterLocation.PATH):
            case.path_parameters.update({name: values[name] for name in case.path_parameters})
        if meta is not None and meta.is_negative_at(ParameterLocation.BODY):
            return
        # Past schemathesis, which would take bytes of ours for what its schema does not allow.
        if case.media_type == "multipart/form-data" and isinstance(case.body, dict):
            case.body.update({name: png() for name in ("file", "image", "image_file") if name in case.body})
        elif str(case.media_type).startswith("image/"):
            object.__setattr__(case, "body", png())
        elif case.media_type == "application/zip":
            object.__setattr__(case, "body", zipped())
        elif case.media_type == "text/plain":
            object.__setattr__(case, "body", PICTURE)

    def _set(self) -> Stage:
        self._stages += 1
        owner = f"fuzz-{self._stages}"
        return set_stage(self._base_url, self.store.api, self.store.worker, owner, self._model)

    def _count(self, label: str, kind: str, status: int) -> None:
        self.found.operations[label] += 1
        self.found.kinds[kind] += 1
        self.found.statuses[status] += 1


def _do_not_wait(case: Any) -> None:  # noqa: ANN401
    """Waits of a minute would be all that a run does."""
    if str((case.query or {}).get("wait")) in map(str, range(2, 61)):  # values at the bounds come as text
        case.query["wait"] = 1
    for name in case.headers or ():
        if name.lower() == "prefer" and str(case.headers[name]).startswith("wait"):
            case.headers[name] = "wait=0"

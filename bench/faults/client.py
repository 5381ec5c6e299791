"""One connection to the API under test, which may be killed at any moment. Knows HTTP and nothing of jobs.

`http.client` on purpose: the load runs on the cores of the service, and an ordinary client costs several times as much.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 30.0


class NoAnswer(Exception):
    """The connection was refused or broke, or no answer came in time: whether the request was heard is not known."""


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        """The body, read."""
        return json.loads(self.body)

    @property
    def retry_after_s(self) -> float | None:
        """What `Retry-After` says; None: there is none."""
        return float(self.headers["retry-after"]) if "retry-after" in self.headers else None


class Client:
    """Keeps one connection to 127.0.0.1:`port` and makes a new one when it broke. Not for two threads.

    `key`: the API key of every request; empty: none.
    """

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S, key: str = "") -> None:
        self._port, self._timeout_s = port, timeout_s
        self._key = {"Authorization": f"Bearer {key}"} if key else {}
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, document: object | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; a document that is not bytes goes as JSON. Raises NoAnswer."""
        body = document if document is None or isinstance(document, bytes) else json.dumps(document).encode()
        sent = self._key | ({"Content-Type": "application/json"} if body is not document else {})
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
        try:
            self._connection.request(method, path, body, sent | dict(headers or {}))
            answer = self._connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(repr(error)) from error

    def close(self) -> None:
        """Done with the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

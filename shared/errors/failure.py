"""The root of the error tree: what every error carries. Knows no single one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field of a request: where it is (`options.threshold`) and why it was refused."""

    field: str
    reason: str


class SpotterError(Exception):
    """The root. Subclasses set the class attributes; an instance carries the detail of one occurrence.

    `headers` are those that HTTP wants beside the problem, such as `WWW-Authenticate`.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})


class BadRequest(SpotterError):
    """The request itself is wrong."""

    code, title, http_status = "bad_request", "The request is not valid", 400

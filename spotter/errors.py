"""What goes wrong on the user's side, as one tree. The SDK raises it, the `spotter` command turns it into one sentence.

SpotterClientError
|- SpotterUnreachable    nobody answers at the address
|- SpotterTimeout        the job did not end within the time given; it goes on
|- SpotterSignatureError a webhook is not from the service, or too old
`- SpotterApiError       the service answered with a problem (RFC 9457)
StackError               the local stack cannot start or cannot go on
"""

from __future__ import annotations

AWAY = frozenset({429, 502, 503, 504})
"""Statuses that pass: who waits for a job asks again."""


class SpotterClientError(Exception):
    """The root of what the SDK raises. Its text is one sentence."""


class SpotterUnreachable(SpotterClientError):
    """The service could not be reached, or the connection broke off before it answered."""


class SpotterTimeout(SpotterClientError):
    """A wait ran out of time. The job is not canceled."""


class SpotterSignatureError(SpotterClientError):
    """A webhook that its receiver must not believe."""


class SpotterApiError(SpotterClientError):
    """The service refused. The fields are those of its problem+json body.

    Attributes:
        code: stable word to compare, such as `queue_full`; `http_<status>` where the answer was no problem+json.
        title: what the code means; never changes for a code.
        detail: what happened this time.
        status: HTTP status, 400..599.
        request_id: names the request in the service's log, or None.
        errors: (field, reason) for each wrong field of the request.
        retry_after_s: when to try again, in seconds, or None.
    """

    def __init__(
        self,
        code: str,
        title: str,
        detail: str,
        status: int,
        request_id: str | None = None,
        *,
        errors: tuple[tuple[str, str], ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        fields = "".join(f"; {field}: {reason}" for field, reason in errors)
        super().__init__(f"{detail or title}{fields} ({code}, HTTP {status})")
        self.code = code
        self.title = title
        self.detail = detail
        self.status = status
        self.request_id = request_id
        self.errors = errors
        self.retry_after_s = retry_after_s


class StackError(Exception):
    """The local stack cannot start or cannot go on. Its text is one sentence: the reason, and what to do."""

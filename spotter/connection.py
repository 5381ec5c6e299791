"""The connections to one service: a request in, its answer or one of `spotter.errors` out. Knows no resource."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from spotter.address import is_loopback
from spotter.errors import SpotterApiError, SpotterUnreachable

LONGEST_LINE = 8 * 1024 * 1024
"""Bytes of one line of a stream: many times the largest result of one picture."""


class Connection:
    """Where requests go. Safe to share between threads.

    Args:
        base_url: where the service is.
        api_key: sent as a bearer token, if there is one.
        timeout_s: for one request, besides the time that the service was asked to wait.
        transport: another way to reach the service, for tests.
    """

    def __init__(
        self, base_url: str, api_key: str | None, timeout_s: float, transport: httpx.BaseTransport | None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout_s,
            transport=transport,
            trust_env=not is_loopback(urlsplit(base_url).hostname or ""),  # a proxy cannot reach our own machine
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def send(self, method: str, path: str, wait_s: float = 0, **arguments: Any) -> httpx.Response:  # noqa: ANN401
        """The whole answer; `arguments` are those of `httpx.Client.request`.

        Raises:
            SpotterApiError: any status but 2xx.
            SpotterUnreachable: no answer.
        """
        with self.stream(method, path, wait_s, **arguments) as response:
            response.read()
            return response

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        wait_s: float = 0,
        silence_s: float | None = None,
        **arguments: Any,  # noqa: ANN401
    ) -> Iterator[httpx.Response]:
        """The answer while it comes: for bodies that are large or long. Raises as `send`, also while it is read.

        `silence_s`: the longest time without a byte, where it is another one than a request has.
        """
        timeout = httpx.Timeout(self._timeout_s, read=silence_s or self._timeout_s + wait_s)
        try:
            with self._http.stream(method, path, timeout=timeout, **arguments) as response:
                if not response.is_success:
                    response.read()
                    raise _problem(response)
                yield response
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise SpotterUnreachable(f"Spotter does not answer at {self.base_url}: {why}.") from error


def lines(response: httpx.Response) -> Iterator[bytes]:
    r"""The lines of a body as they come, without their ends (`\n` or `\r\n`).

    Not `Response.iter_lines`: that one ends a line at every character that Unicode calls a line's end, and names of
    pictures may hold some.

    Raises:
        SpotterUnreachable: a line without end.
    """
    rest = b""
    for piece in response.iter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(rest) > LONGEST_LINE:
            raise SpotterUnreachable("The answer has a line of more than 8 MiB: this is no Spotter.")
    if rest:
        yield rest


def _problem(response: httpx.Response) -> SpotterApiError:
    """RFC 9457 body -> error; a body of another kind (a proxy's page) gives `http_<status>`."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    retry_after = response.headers.get("Retry-After", "")
    return SpotterApiError(
        body.get("code", f"http_{response.status_code}"),
        body.get("title", response.reason_phrase),
        body.get("detail", ""),
        response.status_code,
        body.get("request_id"),
        errors=tuple((one.get("field", ""), one.get("reason", "")) for one in body.get("errors") or ()),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else body.get("retry_after"),
    )

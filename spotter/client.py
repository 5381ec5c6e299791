"""The Python SDK: pictures in, jobs and detections out, over the HTTP API. Blocking; safe to share between threads.

    with Spotter() as spotter:
        job = spotter.detect("dog.jpg")
        for found in job.pictures[0].detections:
            print(found.label, found.confidence, found.box)

Knows the HTTP contract and nothing of what serves it.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from spotter.address import is_loopback
from spotter.errors import SpotterApiError, SpotterTimeout, SpotterUnreachable
from spotter.job import Job, Picture

LONGEST_WAIT_S = 60  # the service's own bound for `Prefer: wait` and `?wait=`
LONG_POLL_S = 20
SHORTEST_POLL_S = 0.1
PAGE = 100
OPTIONS = frozenset({"threshold", "iou", "max_detections", "classes", "thresholds", "draw"})

Source = str | Path | bytes
"""A picture: a path, its encoded bytes, or a text that starts with http://, https:// or s3:// (else it is a path)."""


class Spotter:
    """A connection to one service.

    Args:
        base_url: where the service is.
        api_key: sent as a bearer token; None: `SPOTTER_API_KEY` of the environment, if it is there.
        timeout_s: for one request, besides the time that the service was asked to wait.
        transport: another way to reach the service, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        api_key = api_key or os.environ.get("SPOTTER_API_KEY")
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout_s,
            transport=transport,
            trust_env=not is_loopback(urlsplit(base_url).hostname or ""),  # a proxy cannot reach our own machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def submit(self, *pictures: Source, wait_s: float = 0, **request: Any) -> Job:  # noqa: ANN401 - JSON values
        """Post one job.

        Args:
            pictures: 1..10,000 sources. Files and bytes alone travel as multipart; beside addresses, as base64.
            wait_s: let the service hold the answer until the job has ended, at most so long (0..60).
            request: `model`, `priority`, `deadline_s`, `retain_s`, `webhook`, `metadata`, and the options
                `threshold`, `iou`, `max_detections`, `classes`, `thresholds`, `draw`. None counts as not given.

        Raises:
            OSError: a file cannot be read.
            ValueError: no picture.
            SpotterApiError: the service refuses the job.
            SpotterUnreachable: it cannot be reached.
        """
        if not pictures:
            raise ValueError("a job needs at least one picture")
        headers = {"Prefer": f"wait={_whole_seconds(wait_s)}"} if wait_s else {}
        given = {name: value for name, value in request.items() if value is not None}
        options = {name: given.pop(name) for name in OPTIONS & set(given)}
        if options:
            given["options"] = options
        if any(is_address(one) for one in pictures):
            sources = [_as_source(one) for one in pictures]
            body = {"image": sources[0]} if len(sources) == 1 else {"images": sources}
            response = self._send("POST", "/jobs", wait_s, headers=headers, json={**body, **given})
        else:
            files = [("file", _named_bytes(one)) for one in pictures]
            fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
            response = self._send("POST", "/jobs", wait_s, headers=headers, files=files, data=fields)
        return Job.from_json(response.json())

    def job(self, job_id: str, wait_s: float = 0) -> Job:
        """Look at a job; with `wait_s` (0..60) the service answers at its next change, or then.

        Raises:
            SpotterApiError: there is no such job (`job_not_found`).
            SpotterUnreachable: the service cannot be reached.
        """
        query = {"wait": _whole_seconds(wait_s)} if wait_s else {}
        return Job.from_json(self._send("GET", _path("jobs", job_id), wait_s, params=query).json())

    def wait(self, job_id: str, timeout_s: float = 300) -> Job:
        """Wait for the end of a job. A service that is away or overloaded meanwhile is asked again until time is up.

        Raises:
            SpotterTimeout: it has not ended within `timeout_s` seconds.
            SpotterApiError: there is no such job.
            SpotterUnreachable: the service was still away at the end of the time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            began, pause_s = time.monotonic(), SHORTEST_POLL_S
            try:
                job = self.job(job_id, wait_s=min(LONG_POLL_S, max(0.0, deadline - began)))
                if job.done:
                    return job
            except SpotterUnreachable:
                if began >= deadline:
                    raise
            except SpotterApiError as error:
                if error.status not in (429, 502, 503, 504) or began >= deadline:
                    raise
                pause_s = error.retry_after_s or SHORTEST_POLL_S
            if began >= deadline:
                raise SpotterTimeout(f"Job {job_id} has not ended within {timeout_s:g} s; it goes on.")
            time.sleep(max(0.0, min(deadline, began + pause_s) - time.monotonic()))

    def detect(self, *pictures: Source, timeout_s: float = 300, **request: Any) -> Job:  # noqa: ANN401 - JSON values
        """`submit`, and wait for the end: a job that has ended, well or not (see `Job.status`, `Picture.error`).

        Raises:
            SpotterTimeout: it has not ended within `timeout_s` seconds.
            OSError, ValueError, SpotterApiError, SpotterUnreachable: as `submit`.
        """
        deadline = time.monotonic() + timeout_s
        job = self.submit(*pictures, wait_s=min(LONGEST_WAIT_S, timeout_s), **request)
        return job if job.done else self.wait(job.id, max(0.0, deadline - time.monotonic()))

    def cancel(self, job_id: str) -> Job:
        """Stop a job: a queued one at once, a running one before its next picture.

        Raises:
            SpotterApiError: it has already ended (`job_finished`), or there is no such job.
            SpotterUnreachable: the service cannot be reached.
        """
        return Job.from_json(self._send("POST", _path("jobs", job_id, "cancel")).json())

    def jobs(self, limit: int = 20, **filters: str) -> Iterator[Job]:
        """The newest `limit` jobs, newest first, brought in pages as they are read. Filters: `status`, `model`, ...

        Raises:
            SpotterApiError: a filter is not valid.
            SpotterUnreachable: the service cannot be reached.
        """
        query = {**filters, "limit": str(min(limit, PAGE))}
        left = limit
        while left > 0:
            page = self._send("GET", "/jobs", params=query).json()
            for one in page["jobs"][:left]:
                left -= 1
                yield Job.from_json(one)
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def results(self, job_id: str) -> Iterator[Picture]:
        """Every picture of the job that has a result by now, by index: also those of a job too large to show them.

        Raises:
            SpotterApiError: there is no such job.
            SpotterUnreachable: the service cannot be reached.
        """
        for line in self._send("GET", _path("jobs", job_id, "results")).iter_lines():
            yield Picture.from_json(json.loads(line))

    def picture(self, job_id: str, index: int = 0, draw: bool = True, media_type: str = "image/jpeg") -> bytes:
        """The picture with its boxes drawn (the job needs the option `draw`), or with `draw=False` the stored upload.

        Raises:
            SpotterApiError: no such picture (`picture_not_found`), or its bytes are not kept (`picture_not_stored`).
            SpotterUnreachable: the service cannot be reached.
        """
        query = {"draw": "true"} if draw else {}
        headers = {"Accept": f"{media_type}, */*;q=0.1"} if draw else {}
        path = _path("jobs", job_id, "pictures", str(index))
        return self._send("GET", path, params=query, headers=headers).content

    def models(self) -> list[dict[str, Any]]:
        """What the service offers, one dict a model, as `GET /models` shows it.

        Raises:
            SpotterApiError, SpotterUnreachable: the service refuses or cannot be reached.
        """
        listed: list[dict[str, Any]] = self._send("GET", "/models").json()["models"]
        return listed

    def _send(self, method: str, path: str, wait_s: float = 0, **arguments: Any) -> httpx.Response:  # noqa: ANN401
        timeout = httpx.Timeout(self._timeout_s, read=self._timeout_s + wait_s)
        try:
            response = self._http.request(method, path, timeout=timeout, **arguments)
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise SpotterUnreachable(f"Spotter does not answer at {self.base_url}: {why}.") from error
        if not response.is_success:
            raise _problem(response)
        return response


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


def _as_source(picture: Source) -> dict[str, str]:
    if isinstance(picture, str) and is_address(picture):
        return {"s3" if picture.lower().startswith("s3:") else "url": picture}
    return {"base64": base64.b64encode(_named_bytes(picture)[1]).decode()}


def is_address(picture: Source) -> bool:
    """Whether the service fetches the picture itself, so that it need not be read here."""
    return isinstance(picture, str) and picture.lower().startswith(("http://", "https://", "s3://"))


def _named_bytes(picture: Source) -> tuple[str, bytes]:
    if isinstance(picture, bytes):
        return "picture", picture
    path = Path(picture)
    return path.name, path.read_bytes()


def _whole_seconds(wait_s: float) -> int:
    return max(1, min(LONGEST_WAIT_S, round(wait_s)))


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)

"""The Python SDK: pictures in, jobs and detections out, over the HTTP API. Blocking; safe to share between threads.

    with Spotter() as spotter:
        job = spotter.detect("dog.jpg")
        for found in job.pictures[0].detections:
            print(found.label, found.confidence, found.box)

Knows the HTTP contract and nothing of what serves it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx

from spotter.connection import Connection, lines
from spotter.errors import AWAY, SpotterApiError, SpotterTimeout, SpotterUnreachable
from spotter.following import Event, follow
from spotter.job import Job, Picture
from spotter.saving import save
from spotter.sending import Source, content, named_bytes

LONGEST_WAIT_S = 60  # the service's own bound for `Prefer: wait` and `?wait=`
LONG_POLL_S = 20
SHORTEST_POLL_S = 0.1
PAGE = 100

Format = Literal["spotter", "roboflow", "deepstack", "ultralytics", "coco", "yolo", "voc", "labelstudio", "csv"]
"""In which results can be had; docs/api.md shows each."""
LineFormat = Literal["spotter", "roboflow", "deepstack", "ultralytics", "labelstudio"]
"""Those with a JSON value for each picture."""
ExportFormat = Literal["coco", "yolo", "voc", "labelstudio", "csv"]
"""Those with a data set of a whole job."""


class Spotter:
    """A connection to one service.

    Every call raises SpotterUnreachable where nobody answers, and SpotterApiError where the service refuses.

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
        key = api_key or os.environ.get("SPOTTER_API_KEY")
        self._connection = Connection(base_url, key, timeout_s, transport)
        self.base_url = self._connection.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def submit(
        self,
        *pictures: Source,
        manifest: str | None = None,
        job_id: str | None = None,
        idempotency_key: str | None = None,
        wait_s: float = 0,
        **request: Any,  # noqa: ANN401 - JSON values
    ) -> Job:
        """Post one job.

        Args:
            pictures: 1..10,000 sources, or one path of a zip. Files and bytes alone travel as a form; beside
                addresses, as base64.
            manifest: in place of pictures, an `s3://` list of them.
            job_id: an id of yours, `job_` and 1 to 64 letters, digits, `_` and `-`. Sent again, it is the same job.
            idempotency_key: a name of yours for this request: sent again within 24 hours, it is the same job.
            wait_s: let the service hold the answer until the job has ended, at most so long (0..60).
            request: `model`, `priority`, `deadline_s`, `retain_s`, `webhook`, `metadata`, and the options
                `threshold`, `iou`, `max_detections`, `classes`, `thresholds`, `draw`; `others="skip"` leaves out what
                is no picture in a zip. None counts as not given.

        Raises:
            OSError: a file cannot be read.
            ValueError: no picture.
        """
        headers = _prefer(wait_s)
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        method, path = ("PUT", _path("jobs", job_id)) if job_id else ("POST", "/jobs")
        with ExitStack() as opened:
            body = content(pictures, manifest, request, opened)
            return Job.from_json(self._connection.send(method, path, wait_s, headers=headers, **body).json())

    def upload(self, picture: str | Path | bytes, keep_s: int = 86_400) -> dict[str, str]:
        """Send a picture once, for several jobs, and name it in them as what this returns: {"upload": id}.

        Args:
            keep_s: the service keeps it so long (60..2,592,000), and longer where a job needs it.

        Raises:
            OSError: the file cannot be read.
        """
        files = {"file": named_bytes(picture)}
        sent = self._connection.send("POST", "/uploads", params={"keep_s": keep_s}, files=files).json()
        return {"upload": sent["id"]}

    def drop_upload(self, upload: str) -> None:
        """The service keeps it no longer. Raises SpotterApiError `upload_not_found`."""
        self._connection.send("DELETE", _path("uploads", upload))

    def job(self, job_id: str, wait_s: float = 0) -> Job:
        """Look at a job; with `wait_s` (0..60) the service answers at its next change, or then."""
        query = {"wait": _whole_seconds(wait_s)} if wait_s else {}
        return Job.from_json(self._connection.send("GET", _path("jobs", job_id), wait_s, params=query).json())

    def wait(self, job_id: str, timeout_s: float = 300) -> Job:
        """Wait for the end of a job. A service that is away or overloaded meanwhile is asked again until time is up.

        Raises:
            SpotterTimeout: it has not ended within `timeout_s` seconds.
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
                if error.status not in AWAY or began >= deadline:
                    raise
                pause_s = error.retry_after_s or SHORTEST_POLL_S
            if began >= deadline:
                raise SpotterTimeout(f"Job {job_id} has not ended within {timeout_s:g} s; it goes on.")
            time.sleep(max(0.0, min(deadline, began + pause_s) - time.monotonic()))

    def detect(self, *pictures: Source, timeout_s: float = 300, **request: Any) -> Job:  # noqa: ANN401 - JSON values
        """`submit`, and wait for the end: a job that has ended, well or not (see `Job.status`, `Picture.error`).

        Raises:
            SpotterTimeout: it has not ended within `timeout_s` seconds.
            OSError, ValueError: as `submit`.
        """
        deadline = time.monotonic() + timeout_s
        job = self.submit(*pictures, wait_s=min(LONGEST_WAIT_S, timeout_s), **request)
        return job if job.done else self.wait(job.id, max(0.0, deadline - time.monotonic()))

    def follow(self, job_id: str, after: str = "", timeout_s: float = 300) -> Iterator[Event]:
        """What becomes of a job, as it happens: each event once, though connections break, until it has ended.

        Args:
            after: id of an event that was read before: go on behind it.

        Raises:
            SpotterTimeout: it has not ended within `timeout_s` seconds.
        """
        return follow(self._connection, _path("jobs", job_id, "events"), after, timeout_s)

    def cancel(self, job_id: str) -> Job:
        """End a job at once. SpotterApiError `job_finished`: it has already ended."""
        return Job.from_json(self._connection.send("POST", _path("jobs", job_id, "cancel")).json())

    def retry(self, job_id: str) -> Job:
        """Try again what did not succeed; results that succeeded stay. The job has the same id, and is queued again."""
        return Job.from_json(self._connection.send("POST", _path("jobs", job_id, "retry")).json())

    def delete(self, job_id: str) -> None:
        """Leave nothing of a job: results, uploads that came with it, annotated pictures."""
        self._connection.send("DELETE", _path("jobs", job_id))

    def jobs(self, limit: int = 20, metadata: dict[str, str] | None = None, **filters: str) -> Iterator[Job]:
        """The newest `limit` jobs, newest first, brought in pages as they are read.

        Args:
            metadata: only jobs with these pairs.
            filters: `status`, `model`, `created_after`, `created_before`.
        """
        pairs = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        query = {**filters, **pairs, "limit": str(min(limit, PAGE))}
        left = limit
        while left > 0:
            page = self._connection.send("GET", "/jobs", params=query).json()
            for one in page["jobs"][:left]:
                left -= 1
                yield Job.from_json(one)
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def results(self, job_id: str) -> Iterator[Picture]:
        """Every picture of the job that has a result by now, by index: also those of a job too large to show them."""
        for line in self.lines(job_id):
            yield Picture.from_json(line)

    def lines(self, job_id: str, format: LineFormat = "spotter") -> Iterator[dict[str, Any]]:
        """As `results`, each as JSON in the form of another system."""
        query = {} if format == "spotter" else {"format": format}
        with self._connection.stream("GET", _path("jobs", job_id, "results"), params=query) as response:
            for line in lines(response):
                yield json.loads(line)

    def formatted(self, job_id: str, format: Format, wait_s: float = 0) -> Any:  # noqa: ANN401 - JSON values
        """The results of an ended job of up to 100 pictures as another system writes them.

        Returns:
            What JSON says; a form that is text as str, an archive as bytes.

        Raises:
            SpotterApiError: `job_not_finished` (`wait_s`, 0..60, waits for that), `no_results`.
        """
        query: dict[str, str | int] = {"format": format}
        if wait_s:
            query["wait"] = _whole_seconds(wait_s)
        response = self._connection.send("GET", _path("jobs", job_id), wait_s, params=query)
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if kind == "application/json":
            return response.json()
        return response.content if kind == "application/zip" else response.text

    def export(self, job_id: str, format: ExportFormat, to: str | Path) -> Path:
        """Bring an ended job as one data set into a file, of whatever size.

        Args:
            to: the file, or a folder, in which it gets the name that the service gives it.

        Returns:
            The file. It is there whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        with self._connection.stream("GET", _path("jobs", job_id, "export"), params={"format": format}) as response:
            return save(response, to, f"{job_id}.{format}")

    def picture(self, job_id: str, index: int = 0, draw: bool = True, media_type: str = "image/jpeg") -> bytes:
        """The picture with its boxes drawn (the job needs the option `draw`), or with `draw=False` the stored upload.

        Raises:
            SpotterApiError: no such picture (`picture_not_found`), or its bytes are not kept (`picture_not_stored`).
        """
        query = {"draw": "true"} if draw else {}
        headers = {"Accept": f"{media_type}, */*;q=0.1"} if draw else {}
        path = _path("jobs", job_id, "pictures", str(index))
        return self._connection.send("GET", path, params=query, headers=headers).content

    def models(self) -> list[dict[str, Any]]:
        """What the service offers, one dict a model, as `GET /models` shows it."""
        return list(self._connection.send("GET", "/models").json()["models"])

    def set_alias(self, model: str, alias: str, version: str, wait_s: float = 10) -> dict[str, Any]:
        """Let an alias mean a loaded version in all workers; waits up to `wait_s` (0..60) until they follow.

        `behind` of what the service answers: those that do not, or not yet, and why. SpotterApiError:
        `version_not_loaded`, `model_not_found`, `alias_changed` (another request came later).
        """
        path, headers = _path("models", model, "aliases", alias), _prefer(wait_s)
        sent = self._connection.send("PUT", path, wait_s, headers=headers, json={"version": version})
        return dict(sent.json())

    def drop_alias(self, model: str, alias: str, wait_s: float = 10) -> dict[str, Any]:
        """Take that back: it means what the workers' repositories say. SpotterApiError `alias_not_found`: not set."""
        path = _path("models", model, "aliases", alias)
        return dict(self._connection.send("DELETE", path, wait_s, headers=_prefer(wait_s)).json())


def _prefer(wait_s: float) -> dict[str, str]:
    return {"Prefer": f"wait={_whole_seconds(wait_s)}"} if wait_s else {}


def _whole_seconds(wait_s: float) -> int:
    return max(1, min(LONGEST_WAIT_S, round(wait_s)))


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)

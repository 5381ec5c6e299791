"""60 jobs through a running compose project of three workers, one of which is killed on the way.

In: the API's address, a picture, the worker containers. Out: who took how many, and exit code 0 when every job
succeeded, every worker took some and the killed one came back. Knows the service by HTTP and the containers by `docker`
alone; needs nothing but Python's own library.
"""

from __future__ import annotations

# ruff: noqa: S310 -- it asks the one address that it is given
import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

HTTP_TIMEOUT_S = 30.0
DOCKER_TIMEOUT_S = 60.0
JOBS_TIMEOUT_S = 150.0  # a killed worker's pictures come back after its lease of 30 s
REPORTS_TIMEOUT_S = 20.0  # workers report every 5 s
HEALTHY_TIMEOUT_S = 120.0
POLL_S = 0.5
TERMINAL = {"succeeded", "failed", "canceled", "expired"}
ENDED = re.compile(r"^spotter_jobs_ended_total\{.*\} ([0-9.]+)$", re.MULTILINE)
TOOK = re.compile(r'^spotter_stage_seconds_count\{(?=.*stage="infer").*worker="([^"]+)".*\} ([0-9.]+)$', re.MULTILINE)


class TrialFailed(Exception):
    """What was promised did not happen; the text says what."""


class Service:
    """The API, as far as the trial needs it."""

    def __init__(self, url: str, picture: bytes, key: str) -> None:
        self._url, self._picture = url, picture
        self._headers = {"Authorization": f"Bearer {key}"}
        self._took: dict[str, int] = {}

    def post(self) -> str:
        """One job with the picture as the raw body; its id."""
        request = Request(
            f"{self._url}/jobs", self._picture, {**self._headers, "Content-Type": "image/jpeg"}, method="POST"
        )
        return str(json.loads(_read(request))["id"])

    def job(self, name: str) -> dict[str, Any]:
        """The job as it is now."""
        found: dict[str, Any] = json.loads(_read(Request(f"{self._url}/jobs/{name}", headers=self._headers)))
        return found

    def ended(self) -> int:
        """Jobs that ended, as the store counted them: one that ended twice counts twice."""
        return sum(int(float(count)) for count in ENDED.findall(self._metrics()))

    def took(self) -> dict[str, int]:
        """Pictures by container so far. What a killed worker took stays counted, as of its last report."""
        for worker, count in TOOK.findall(self._metrics()):
            self._took[worker] = max(self._took.get(worker, 0), int(float(count)))
        by_host: Counter[str] = Counter()
        for worker, number in self._took.items():
            by_host[worker.split("-")[0]] += number  # a worker's name is host-pid-random; the host is the container
        return dict(by_host)

    def _metrics(self) -> str:
        return _read(Request(f"{self._url}/metrics", headers=self._headers)).decode()


def _read(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
            data: bytes = response.read()
            return data
    except HTTPError as error:
        raise TrialFailed(
            f"{request.full_url} answered {error.code}: {error.read(500).decode(errors='replace')}"
        ) from None


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, timeout=DOCKER_TIMEOUT_S, check=False)
    if done.returncode:
        raise TrialFailed(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def _armed(container: str) -> Iterator[Callable[[], None]]:
    """A function that kills the container's process at once, by its pid, as a crash would end it.

    `docker kill` would count as a wanted stop and hold back the restart. The kill is sent from a container that sees
    the engine's processes, so that it needs no rights on this machine and works where the engine is another one.
    """
    pid = int(_docker("inspect", "--format", "{{.State.Pid}}", container))
    if pid <= 1:
        raise TrialFailed(f"{container} has no process")
    image = _docker("inspect", "--format", "{{.Image}}", container)
    code = f"import os; print(flush=True); input(); os.kill({pid}, 9); print('killed', flush=True)"
    sees = ("--pid", "host", "--network", "none", "--user", "0", "--entrypoint", "python")
    with subprocess.Popen(
        ("docker", "run", "--rm", "--interactive", *sees, image, "-c", code),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killer:
        assert killer.stdin
        assert killer.stdout
        stdin, stdout = killer.stdin, killer.stdout

        def kill() -> None:
            stdin.write("\n")
            stdin.flush()
            if stdout.readline().strip() != "killed":
                raise TrialFailed(f"process {pid} of {container} was not killed")

        stdout.readline()  # it runs
        try:
            yield kill
        finally:
            if not stdin.closed:
                stdin.close()  # where nobody pulled, input() ends it
            killer.wait(DOCKER_TIMEOUT_S)


def _until(what: str, timeout_s: float, check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise TrialFailed(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


def _finished(service: Service, names: Sequence[str]) -> list[dict[str, Any]]:
    """All jobs, once each has ended."""
    ended: dict[str, dict[str, Any]] = {}

    def check() -> bool:
        for name in names:
            if name not in ended and (job := service.job(name))["status"] in TERMINAL:
                ended[name] = job
        service.took()  # a report that is soon gone is seen in time
        return len(ended) == len(names)

    _until(f"the end of {len(names)} jobs", JOBS_TIMEOUT_S, check)
    return list(ended.values())


def _post(service: Service, pool: ThreadPoolExecutor, number: int, at: int, then: Callable[[], None]) -> list[str]:
    """Post `number` jobs side by side; call `then` when `at` of them are accepted, while the rest still comes in."""
    sending: list[Future[str]] = [pool.submit(service.post) for _ in range(number)]
    names: list[str] = []
    for sent in as_completed(sending, timeout=HTTP_TIMEOUT_S * 4):
        names.append(sent.result())
        if len(names) == at:
            then()
    return names


def trial(service: Service, containers: Sequence[str], number: int) -> None:
    """The trial. Raises TrialFailed."""
    half = number // 2
    with ThreadPoolExecutor(8) as pool:
        jobs = _finished(service, _post(service, pool, half, half, lambda: None))
        _until(f"reports of {half} pictures", REPORTS_TIMEOUT_S, lambda: sum(service.took().values()) >= half)
        before = service.took()
        print(f"{half} jobs done; by container: {_shown(before, containers)}")
        victim = max(containers, key=lambda container: before.get(container[:12], 0))
        with _armed(victim) as kill:
            rest = _post(service, pool, number - half, half // 3, kill)
        print(f"killed the process of {victim[:12]} when {half // 3} of the next {number - half} jobs were accepted")
        jobs += _finished(service, rest)
    _check_results(jobs, service.ended())
    _check_shares(service, containers, number)
    _until("the killed worker's return", HEALTHY_TIMEOUT_S, lambda: _state(victim) == "1 healthy")
    print(f"{victim[:12]} was restarted and is healthy")


def _check_results(jobs: Sequence[dict[str, Any]], ended: int) -> None:
    statuses = Counter(str(job["status"]) for job in jobs)
    again = sum(job["attempts"] > 1 for job in jobs)
    print(f"{len(jobs)} jobs ended: {dict(statuses)}; {again} of them were taken up again after the kill")
    if statuses != {"succeeded": len(jobs)}:
        raise TrialFailed("not every job succeeded")
    if ended != len(jobs):
        raise TrialFailed(f"the store counted {ended} ends of {len(jobs)} jobs")
    found = {tuple(sorted(one["label"] for one in job["results"][0]["detections"])) for job in jobs}
    if len(found) != 1 or not next(iter(found)):
        raise TrialFailed(f"the same picture gave different detections, or none: {found}")


def _check_shares(service: Service, containers: Sequence[str], number: int) -> None:
    deadline = time.monotonic() + REPORTS_TIMEOUT_S / 2  # the last reports; the killed worker's last one may lack some
    while sum(service.took().values()) < number and time.monotonic() < deadline:
        time.sleep(POLL_S)
    after = service.took()
    print(f"pictures by container: {_shown(after, containers)}")
    if idle := [container[:12] for container in containers if not after.get(container[:12])]:
        raise TrialFailed(f"{', '.join(idle)} took none")


def _state(container: str) -> str:
    return _docker("inspect", "--format", "{{.RestartCount}} {{.State.Health.Status}}", container)


def _shown(took: dict[str, int], containers: Sequence[str]) -> str:
    return ", ".join(f"{container[:12]} {took.get(container[:12], 0)}" for container in containers)


def main() -> int:
    """The trial from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True, help="where the API is")
    parser.add_argument("--picture", type=Path, required=True, help="a JPEG with something in it")
    parser.add_argument("--key", required=True, help="with the scopes jobs:read, jobs:write and metrics")
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("containers", nargs="+", help="ids of the worker containers")
    given = parser.parse_args()
    try:
        trial(Service(given.url, given.picture.read_bytes(), given.key), given.containers, given.jobs)
    except (TrialFailed, OSError, TimeoutError, subprocess.SubprocessError) as error:
        print(f"trial failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

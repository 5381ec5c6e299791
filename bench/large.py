"""One job of 10,000 pictures: how soon it is accepted, seen and canceled, and what it costs others meanwhile.

    python -m bench.large [--pictures 10000] [--sources url,s3,zip] [--seconds 20] [--precision bf16] [--whole]

`url` and `s3`: the addresses come in one JSON document and the pictures from a small server in this process; `zip`:
they are in the body. Each kind has a fresh stack. The clock runs from the first byte of the POST. Another client asks
for a job of its own all the while (`others`), one request after the other. The job runs for `seconds` and is then
canceled; `last fetch` is when a worker last asked for a picture after that. With `--whole` it runs to its end, alone,
and the memory of API and worker is read at each tenth of it. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from bench.arguments import parser, result, say
from bench.bulk import post
from bench.closedloop import LoadError
from bench.figures import percentile
from bench.local import Stack
from bench.pictures import PictureServer
from bench.processes import resident_mb

WIDTH = 160
"""Of the pictures: 10,000 of them fit into one archive of the default bound."""
PROBE_S = 0.005
MEMORY_S = 0.1
SETTLE_S = 1.5
FIRST_RESULT_S = 60.0
TENTHS = 10
WHOLE_S = 550.0


def small(image: Path) -> bytes:
    """The picture at `WIDTH` pixels, as JPEG."""
    out = io.BytesIO()
    with Image.open(image) as picture:
        picture.resize((WIDTH, WIDTH * picture.height // picture.width)).convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()


def body(kind: str, picture: bytes, pictures: int, port: int) -> tuple[bytes, str]:
    """What to POST, and its content type."""
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            for number in range(pictures):
                made.writestr(f"shelf/{number}.jpg", picture)
        return out.getvalue(), "application/zip"
    places = {"url": f"http://127.0.0.1:{port}/shelf/", "s3": "s3://pictures/shelf/"}
    sources = [{kind: f"{places[kind]}{number}.jpg", "id": f"picture-{number}"} for number in range(pictures)]
    return json.dumps({"images": sources}).encode(), "application/json"


def get(port: int, path: str, method: str = "GET") -> bytes:
    """The answer's body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def roles(pid: int) -> dict[str, int]:
    """The API and the worker among the descendants of a process, by role."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found: dict[str, int] = {}
    for child in parents:
        above = child
        while above in parents and above != pid:
            above = parents[above]
        if above == pid:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            for role, word in (("api", b"api.main"), ("worker", b"worker.main")):
                if word in command:
                    found.setdefault(role, child)
    if set(found) != {"api", "worker"}:
        raise LoadError(f"the stack's processes are not found: {found}")
    return found


@contextmanager
def repeating(every_s: float, step: Any) -> Iterator[None]:  # noqa: ANN401 - any call without arguments
    """Call `step` again and again beside the block."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(every_s):
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def await_first(port: int, job: str, since: float) -> float:
    """Seconds from `since` to the first line of results."""
    while not get(port, f"/jobs/{job}/results?limit=1"):
        if time.monotonic() > since + FIRST_RESULT_S:
            raise LoadError("no result came")
        time.sleep(0.01)
    return time.monotonic() - since


@contextmanager
def warmed(asked: argparse.Namespace, port: int) -> Iterator[tuple[Stack, str]]:
    """A fresh stack, and the job that warmed it, of pictures from `port`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), asked.models_dir, asked.precision, default_model=asked.model, fetch_allow="127.0.0.0/8",
              s3_buckets="pictures", s3_endpoint=f"http://127.0.0.1:{port}", s3_region="us-east-1",
              s3_access_key="k", s3_secret_key="s") as stack,
    ):  # fmt: skip
        warm = json.dumps({"images": [{"url": f"http://127.0.0.1:{port}/warm.jpg"}] * 50}).encode()
        job = post(stack.port, warm, "application/json")
        while json.loads(get(stack.port, f"/jobs/{job}"))["status"] in ("queued", "running"):
            time.sleep(0.05)
        yield stack, job


def whole_round(asked: argparse.Namespace, kind: str) -> dict[str, Any]:
    """One kind of source to the job's end, through a fresh, warmed stack."""
    picture = small(asked.image)
    with PictureServer(picture) as server, warmed(asked, server.port) as (stack, _):
        request = body(kind, picture, asked.pictures, server.port)
        pids = roles(stack.pid)
        sizes: dict[str, list[float]] = {role: [resident_mb(pid)] for role, pid in pids.items()}
        start = time.monotonic()
        job, ended = post(stack.port, *request), 0
        while len(sizes["worker"]) <= TENTHS:
            counts = json.loads(get(stack.port, f"/jobs/{job}"))["counts"]
            if counts["failed"]:
                raise LoadError(f"pictures failed: {counts}")
            ended = counts["succeeded"]
            while ended * TENTHS >= asked.pictures * len(sizes["worker"]) and len(sizes["worker"]) <= TENTHS:
                for role, pid in pids.items():
                    sizes[role].append(resident_mb(pid))
                say(f"{ended} of {asked.pictures}: {', '.join(f'{role} {sizes[role][-1]:.0f} MB' for role in sizes)}")
            if time.monotonic() > start + WHOLE_S:
                raise LoadError(f"{ended} of {asked.pictures} pictures in {WHOLE_S:.0f} s")
            time.sleep(MEMORY_S)
        took = time.monotonic() - start
    return {
        "sources": kind, "pictures": asked.pictures, "body MB": round(len(request[0]) / 1e6, 1), "s": round(took, 1),
        "API MB before, at each tenth": [round(one) for one in sizes["api"]],
        "worker MB before, at each tenth": [round(one) for one in sizes["worker"]],
    }  # fmt: skip


def large_round(asked: argparse.Namespace, kind: str) -> dict[str, Any]:
    """One kind of source through a fresh, warmed stack."""
    picture = small(asked.image)
    fetched = [0.0]
    others: list[float] = []

    def asked_for(path: str) -> float:
        fetched[0] = time.monotonic()
        return 0.0

    with PictureServer(picture, asked_for) as server, warmed(asked, server.port) as (stack, other):
        pids = roles(stack.pid)
        before = {role: resident_mb(pid) for role, pid in pids.items()}
        most = dict(before)

        def probe() -> None:
            start = time.monotonic()
            get(stack.port, f"/jobs/{other}")
            others.append(1000 * (time.monotonic() - start))

        def look_at_memory() -> None:
            for role, pid in pids.items():
                most[role] = max(most[role], resident_mb(pid))

        request = body(kind, picture, asked.pictures, server.port)
        with repeating(PROBE_S, probe):
            time.sleep(SETTLE_S)
        quiet, others[:] = list(others), []
        with repeating(MEMORY_S, look_at_memory):
            start = time.monotonic()
            with repeating(PROBE_S, probe):
                job = post(stack.port, *request)
                accepted = time.monotonic() - start
            first = await_first(stack.port, job, start)
            time.sleep(asked.seconds)
            cancel = time.monotonic()
            get(stack.port, f"/jobs/{job}/cancel", "POST")
            canceled = time.monotonic() - cancel
            done = json.loads(get(stack.port, f"/jobs/{job}"))["counts"]
            time.sleep(SETTLE_S)
            if json.loads(get(stack.port, f"/jobs/{job}"))["counts"] != done:
                raise LoadError("a canceled job went on")
        if done["failed"]:
            raise LoadError(f"pictures failed: {done}")
    return {
        "sources": kind, "pictures": asked.pictures, "body MB": round(len(request[0]) / 1e6, 1),
        "accepted s": round(accepted, 2), "first result s": round(first, 2),
        "others p50 ms before": round(percentile(quiet, 50), 1),
        "others max ms before": round(max(quiet), 1),
        "others max ms meanwhile": round(max(others, default=0.0), 1),
        "cancel answered ms": round(1000 * canceled, 1),
        "last fetch after cancel ms": round(1000 * max(0.0, fetched[0] - cancel), 1) if kind != "zip" else "",
        "done until then": done["succeeded"],
        "API MB before, most": f"{before['api']:.0f}, {most['api']:.0f}",
        "worker MB before, most": f"{before['worker']:.0f}, {most['worker']:.0f}",
    }  # fmt: skip


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Every kind once a round; the last round is the one that the rows show."""
    rows = []
    for number in range(1, asked.rounds + 1):
        rows = [(whole_round if asked.whole else large_round)(asked, kind) for kind in asked.sources.split(",")]
        for row in rows:
            say(f"round {number}: {row}")
    return {"bench": "large", "model": asked.model, "picture bytes": len(small(asked.image)), "rounds": asked.rounds,
            "seconds": asked.seconds, "rows": rows}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--pictures", type=int, default=10_000)
    line.add_argument("--sources", default="url,s3,zip")
    line.add_argument("--seconds", type=float, default=20.0)
    line.add_argument("--whole", action="store_true", help="to the job's end, with the memory at each tenth")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

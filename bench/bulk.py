"""Bulk jobs of 1,000 pictures, against the bare loop over as many.

    python -m bench.bulk [--pictures 1000] [--sources url,upload] [--rounds 3] [--precision bf16]

`url`: one job names 1,000 addresses of a small HTTP server in this process (127.0.0.1, opened by SPOTTER_FETCH_ALLOW),
so the service pays for 1,000 fetches, and the cores for answering them; with the default limits this is how a job of
1,000 pictures comes. `upload`: the same pictures as multipart forms, each as full as a request may be, so they are
several jobs; the store keeps the bytes. The clock runs from the first byte of the first POST to the end of the last
job. In turn with the bare loop, which has the bytes in memory. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.arguments import parser, result, say
from bench.bare import BareRun, bare_run
from bench.closedloop import LoadError, closed_loop
from bench.exchange import detection
from bench.figures import over_rounds, ratios
from bench.local import Stack
from bench.pictures import PictureServer

BODY_BYTES = 20 * 1024 * 1024
"""Default of SPOTTER_MAX_BODY_BYTES."""
ENVELOPE_BYTES = 200
"""Of one picture in a form: boundary and part headers."""
POLL_S = 0.05
LIMIT_S = 300.0
BOUNDARY = "a-picture-ends-here"


def forms(image: bytes, pictures: int, body_bytes: int = BODY_BYTES) -> list[bytes]:
    """As few multipart bodies as hold so many pictures, none larger than `body_bytes`."""
    most = max(1, (body_bytes - ENVELOPE_BYTES) // (len(image) + ENVELOPE_BYTES))
    part = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode() + image + b"\r\n"  # fmt: skip
    counts = [min(most, pictures - begun) for begun in range(0, pictures, most)]
    return [part * count + f"--{BOUNDARY}--\r\n".encode() for count in counts]


def post(port: int, body: bytes, content_type: str) -> str:
    """Submit a job; its id."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/jobs", body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return str(json.load(answer)["id"])


def await_succeeded(port: int, job: str, pictures: int, until: float) -> None:
    """Look every `POLL_S` until the job has ended. Raises LoadError: not every picture succeeded, or not in time."""
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs/{job}", timeout=30) as answer:
            seen = json.load(answer)
        if seen["status"] not in ("queued", "running"):
            break
        if time.monotonic() > until:
            raise LoadError(f"a job did not end in {LIMIT_S:.0f} s: {seen['counts']}")
        time.sleep(POLL_S)
    if seen["counts"]["succeeded"] != pictures:
        raise LoadError(f"not every picture succeeded: {seen['counts']}")


def bodies(kind: str, image: bytes, pictures: int, server: PictureServer) -> list[tuple[bytes, str, int]]:
    """What to POST for so many pictures: body, content type, pictures in it."""
    if kind == "url":
        sources = [{"url": f"http://127.0.0.1:{server.port}/{number}.jpg"} for number in range(pictures)]
        return [(json.dumps({"images": sources}).encode(), "application/json", pictures)]
    made = forms(image, pictures)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return [(body, kind, body.count(b"filename=")) for body in made]


def bulk_round(asked: argparse.Namespace, kind: str) -> float:
    """Pictures per second through a fresh, warmed stack."""
    image = asked.image.read_bytes()
    with (
        PictureServer(image) as server,
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), asked.models_dir, asked.precision, default_model=asked.model,
              fetch_allow="127.0.0.0/8") as stack,
    ):  # fmt: skip
        closed_loop(stack.port, detection(asked.image), clients=8, seconds=2)
        asks = bodies(kind, image, asked.pictures, server)
        start = time.monotonic()
        jobs = [(post(stack.port, body, content_type), count) for body, content_type, count in asks]
        for job, count in jobs:
            await_succeeded(stack.port, job, count, start + LIMIT_S)
        took = time.monotonic() - start
    return float(asked.pictures / took)


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Bare loop and every kind of source in each round."""
    kinds = asked.sources.split(",")
    bares: list[BareRun] = []
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(1, asked.rounds + 1):
        bares.append(bare_run(asked.image, asked.pictures, asked.models_dir, asked.model, asked.precision))
        for kind in kinds:
            rates[kind].append(bulk_round(asked, kind))
        say(f"round {number}: bare {bares[-1].pictures_per_s:.1f}/s, "
            + ", ".join(f"{kind} {found[-1]:.1f}/s" for kind, found in rates.items()))  # fmt: skip
    alone = [bare.pictures_per_s for bare in bares]
    image = asked.image.read_bytes()
    jobs = {"url": 1, "upload": len(forms(image, asked.pictures))}
    rows = [
        {"sources": kind, "pictures": asked.pictures, "jobs": jobs[kind],
         "bare pictures/s": over_rounds(alone), "service pictures/s": over_rounds(found),
         "ratio": over_rounds(ratios(found, alone), 3)}
        for kind, found in rates.items()
    ]  # fmt: skip
    return {"bench": "bulk", "model": asked.model, "precision": f"{bares[0].precision} ({bares[0].provider})",
            "rounds": asked.rounds, "rows": rows}  # fmt: skip


def main() -> None:
    """The command line."""
    line = parser(__doc__)
    line.add_argument("--pictures", type=int, default=1000)
    line.add_argument("--sources", default="url,upload")
    result(measure(line.parse_args()))


if __name__ == "__main__":
    main()

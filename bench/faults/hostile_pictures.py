"""Hostile pictures: damaged, odd and costly files, first through the decoder in one process, then a real worker.

Each must end in a result or in one of the picture's stable errors, no process may end, and memory must stay within the
decode budget beside a base that is measured before.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from bench.arguments import say
from bench.faults.odd_pictures import corpus, saved
from bench.faults.scenario import Row, conclude, parser, workplace
from bench.local import Stack
from shared.errors import SpotterError
from shared.manifest import Frame
from worker.image import BYTES_PER_PIXEL, Decoder

MEGABYTE = 1 << 20
BESIDE = 64 * MEGABYTE
"""What a thread may take beside the pixels of its picture: the file twice, and one band."""
THREADS = 4
JOB_BYTES, JOB_PICTURES = 12 * MEGABYTE, 100
STABLE = frozenset({"succeeded", "invalid_image", "image_too_large"})
WORKER = b"worker.main"
SMALL = Frame(width=64, height=64)
"""A frame that most pictures are scaled for as they are decoded."""
Found: TypeAlias = tuple[dict[str, int], tuple[float, str], int, int]
"""Codes, the slowest picture's seconds and name, and bytes: the peak of one decode, and the process before any."""


def in_process(seed: int, many: int, budget: int, answers: multiprocessing.Queue[Found]) -> None:
    """Decode all, one by one, in a fresh process; puts codes, slowest picture and peak memory over the base."""
    decoder, codes, slowest = Decoder(50_000_000, budget), Counter[str](), (0.0, "")
    decoder.decode(saved(Image.new("RGB", (8, 8)), "WEBP"))
    base, peak = _status("VmRSS", os.getpid()), 0
    for name, data, at_least in ((*one, least) for one in corpus(seed, many) for least in (None, SMALL)):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of this picture alone, not of its making
        before, begun = _status("VmRSS", os.getpid()), time.perf_counter()
        reckoned = budget
        try:
            picture = decoder.decode(data, at_least)
            reckoned, code = picture.height * picture.width * max(BYTES_PER_PIXEL.values()), "succeeded"
        except SpotterError as error:
            code = error.code
        except Exception as error:
            code = f"escaped: {type(error).__name__} over {name}"
        slowest = max(slowest, (time.perf_counter() - begun, name))
        taken = _status("VmHWM", os.getpid()) - before
        peak = max(peak, taken)
        codes[code if taken <= reckoned + BESIDE else f"took {taken:,} bytes: {name}"] += 1
    answers.put((dict(codes), slowest, peak, base))


def _status(field: str, pid: int) -> int:
    """VmRSS or VmHWM of a process, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field + ":"))) * 1024


def _workers(stack: Stack) -> dict[int, int]:
    """Pid and peak memory of each worker of a stack."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and WORKER in (entry / "cmdline").read_bytes().split(b"\0"):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == stack.pid:
                    found[int(entry.name)] = _status("VmHWM", int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _jobs(seed: int, many: int) -> Iterator[list[tuple[str, bytes]]]:
    """The corpus in jobs that fit in a request."""
    job, size = list[tuple[str, bytes]](), 0
    for name, data in corpus(seed, many):
        if not data:
            continue  # the door refuses an empty base64 with 422: it never becomes a job
        if job and (size + len(data) > JOB_BYTES or len(job) == JOB_PICTURES):
            yield job
            job, size = [], 0
        job.append((name, data))
        size += len(data)
    yield job


def _ask(stack: Stack, job: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    images = [{"base64": base64.b64encode(data).decode()} for _, data in job]
    base = f"http://127.0.0.1:{stack.port}"
    request = urllib.request.Request(
        f"{base}/jobs",
        json.dumps({"images": images}).encode(),
        {"Content-Type": "application/json", "Prefer": "wait=60"},
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        document = json.load(answer)
    until = time.monotonic() + 120
    while document["status"] in ("queued", "running") and time.monotonic() < until:
        with urllib.request.urlopen(f"{base}/jobs/{document['id']}?wait=30", timeout=60) as answer:
            document = json.load(answer)
    with urllib.request.urlopen(f"{base}/jobs/{document['id']}/results", timeout=60) as answer:
        return [json.loads(line) for line in answer.read().splitlines() if line]


def through_a_worker(seed: int, many: int, budget: int) -> tuple[Counter[str], int, bool, int]:
    """Codes, pictures without an answer, whether the worker is still the same, its peak memory over the base."""
    codes, unanswered = Counter[str](), 0
    with (
        workplace("hostile_pictures") as (folder, models),
        Stack(folder, models, "fp32", decode_memory_bytes=str(budget), concurrency=str(THREADS)) as stack,
    ):
        _ask(stack, [("warm", saved(Image.new("RGB", (8, 8)), "WEBP"))])
        before = _workers(stack)
        for number, job in enumerate(_jobs(seed, many), 1):
            results = _ask(stack, job)
            unanswered += len(job) - len(results)
            codes.update(one["error"]["code"] if one["status"] == "failed" else one["status"] for one in results)
            if number % 10 == 0:
                say(f"{codes.total():,} pictures through the worker")
        after = _workers(stack)
    assert before, "the stack has no worker"
    return codes, unanswered, before.keys() == after.keys(), max(after.get(pid, 0) - was for pid, was in before.items())


def run(asked: argparse.Namespace) -> Row:
    """`pictures` files decoded in a process and through a worker, with a decode budget of `budget` MB."""
    budget = asked.budget * MEGABYTE
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[Found] = context.Queue()
    process = context.Process(target=in_process, args=(asked.seed, asked.pictures, budget, answers))
    process.start()
    codes, slowest, peak, base = answers.get(timeout=300)
    process.join(30)
    say(f"in one process: {codes}, slowest {slowest[0]:.2f} s ({slowest[1]})")
    sent, unanswered, same, worker_peak = through_a_worker(asked.seed, asked.pictures, budget)
    return Row(
        load=f"{asked.pictures:,} files of five formats: in one process, whole and scaled, and through a worker",
        fault="bit flips, cuts, splices, lying headers; bombs of pixels, text, profiles, scans, segments, frames",
        reach="every one answered by a result or a stable error; 0 process exits; memory within the decode "
        "budget and 64 MB a thread",
        measured={
            "in one process": codes, "slowest s": round(slowest[0], 2), "slowest": slowest[1],
            "peak MB": peak // MEGABYTE, "base MB": base // MEGABYTE, "budget MB": asked.budget,
            "through the worker": dict(sent), "unanswered": unanswered, "worker exits": int(not same),
            "peak of the worker MB": worker_peak // MEGABYTE,
        },
        held=codes.keys() <= STABLE and process.exitcode == 0 and peak <= budget + BESIDE and sent.keys() <= STABLE
        and not unanswered and same and worker_peak <= budget + THREADS * BESIDE,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"pictures": 2000, "budget": 1024}, {"pictures": 250, "budget": 1024}).read())


if __name__ == "__main__":
    main()

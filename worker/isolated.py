"""`python -m worker.isolated`: one decoder in a process of its own, for pictures that may have ended a worker.

Encoded pictures come in on standard input, pixels or the picture's error go out on standard output; `quarantine.py`
is the other end. Before any byte is decoded the process gives up what it does not need: memory beyond a bound, files,
standard error. Each picture has a time, kept by the kernel's alarm, so that a hang in C ends too. It knows neither the
store nor a model, and has none of the worker's secrets.

Messages, both ways: kind (one byte), length of the body (8 bytes, big-endian), body.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import PictureError
from shared.manifest import Frame
from worker.image import Decoder

HEAD = struct.Struct(">cQ")
SIZE = struct.Struct(">II")
"""Height and width."""
PICTURE = b"P"
"""In: how large its pixels must be at least (0, 0: all of them), then an encoded picture."""
GO = b"G"
"""In: the memory that was asked for may be used."""
READY = b"R"
"""Out, once: started and confined."""
NEED = b"N"
"""Out: bytes of memory that the picture will take (8 bytes, big-endian). Answered by GO."""
PIXELS = b"I"
"""Out: size of the whole picture, size of what comes, then that as RGB uint8 (H, W, 3)."""
FAILED = b"E"
"""Out: `{"code": ..., "detail": ...}` of a PictureError."""

FILE_COPIES = 5
"""Of an encoded picture: two on its way in, two in decoding, and one to spare."""
OPEN_FILES = 32
SLACK_BYTES = 64 << 20
"""The interpreter's own growth, beside the picture."""


class _Asking:
    """The worker's memory budget, asked for over the pipe. The alarm rests meanwhile: others' pictures take time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @contextmanager
    def take(self, size: int, /) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(NEED, struct.pack(">Q", size))
        kind, _ = _receive()
        if kind != GO:
            raise SystemExit("out of step")
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        yield


def main(argv: list[str]) -> None:
    """Decode what comes until the worker closes the pipe, or for `idle` seconds nothing came."""
    parser = argparse.ArgumentParser(prog="worker.isolated")
    parser.add_argument("--pixels", type=int, required=True, help="of the largest picture")
    parser.add_argument("--memory", type=int, required=True, help="bytes that decoding may take")
    parser.add_argument("--file", type=int, required=True, help="bytes of the largest encoded picture")
    parser.add_argument("--seconds", type=float, required=True, help="for one picture")
    parser.add_argument("--idle", type=float, required=True, help="seconds without a picture, then it ends")
    asked = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which drains; this one ends with its pipe
        signal.signal(number, signal.SIG_IGN)
    decoder = Decoder(asked.pixels, asked.memory)
    decoder.budget = _Asking(asked.seconds)
    _confine(asked.memory + FILE_COPIES * asked.file)
    _send(READY)
    while select.select([sys.stdin.fileno()], [], [], asked.idle)[0]:
        kind, body = _receive()
        if kind != PICTURE:
            raise SystemExit("out of step")
        height, width = SIZE.unpack_from(body)
        at_least = Frame(width=width, height=height) if width else None
        signal.setitimer(signal.ITIMER_REAL, asked.seconds)
        try:
            picture = decoder.decode(body[SIZE.size :], at_least)
        except PictureError as error:
            _send(FAILED, json.dumps({"code": error.code, "detail": error.detail}).encode())
        else:
            pixels, size = picture.pixels, SIZE.pack(picture.height, picture.width)
            _send(PIXELS, size, SIZE.pack(*pixels.shape[:2]), pixels.data.cast("B"))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(memory_bytes: int) -> None:
    """Give up what decoding does not need, and memory beyond so much more than now. Bounds that a system does not know
    are left out.
    """
    statm, badness = Path("/proc/self/statm"), Path("/proc/self/oom_score_adj")
    if badness.exists():
        badness.write_text("1000")  # where the system runs out of memory, this process ends and not the worker
    if statm.exists():
        now = int(statm.read_text().split()[0]) * resource.getpagesize()
        bound = now + memory_bytes + SLACK_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    for limit, most in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES)):
        resource.setrlimit(limit, (most, most))


def _send(kind: bytes, *parts: bytes | memoryview) -> None:
    for part in (HEAD.pack(kind, sum(len(part) for part in parts)), *parts):
        view = memoryview(part)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]


def _receive() -> tuple[bytes, bytes]:
    kind, length = HEAD.unpack(_exactly(HEAD.size))
    return kind, _exactly(length)


def _exactly(size: int) -> bytes:
    """So many bytes; ends the process when the worker is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = os.readv(sys.stdin.fileno(), [view])
        if not got:
            raise SystemExit(0)
        view = view[got:]
    return bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])

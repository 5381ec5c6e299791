"""Decoding in child processes: a picture that crashes, hangs or eats memory ends a child and never the worker.

Encoded bytes go in, pixels come out, as from `image.Decoder`. Children (`isolated.py`) are started when a picture is
to be decoded here and end by themselves when none came for a while, so nothing is spent while nothing is suspicious.
It does not know which pictures are suspicious, nor what becomes of one that ended its child.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from shared.errors import Overloaded, PictureError, SpotterError
from shared.manifest import Frame
from worker import isolated
from worker.image import Budget, Picture

IDLE_S = 30.0
START_S = 30.0
"""For a child to start; it takes less than half a second on an idle machine."""
MARGIN_S = 5.0
"""The child's own alarm comes first; after this much more its parent ends it."""
PIPE_BYTES = 1 << 20
"""Linux's bound for processes without privileges (proc(5), pipe-max-size)."""
ERRORS: Final = {error.code: error for error in PictureError.__subclasses__()}


class Crashed(SpotterError):
    """A child ended over a picture; the detail is the end of a sentence. It never leaves the worker: the picture gets
    another attempt, or fails as `poison`.
    """

    code, title = "crashed", "The decoder ended"


class _Ended(Exception):
    """The pipe is closed, or the child took too long."""


class _Left(Exception):
    """The child ended by itself, idle, before the picture came."""


@dataclass(frozen=True)
class Confinement:
    """What one child may take: pixels of a picture, bytes of memory for them, bytes of its file, seconds."""

    pixels: int
    memory_bytes: int
    file_bytes: int
    seconds: float

    @property
    def command(self) -> list[str]:
        """What starts a child."""
        return [sys.executable, "-m", "worker.isolated", "--pixels", str(self.pixels), "--memory",
                str(self.memory_bytes), "--file", str(self.file_bytes), "--seconds", str(self.seconds),
                "--idle", str(IDLE_S)]  # fmt: skip


class Quarantine:
    """At most `most` children at once; threads wait for one. Call `close` at the end.

    Args:
        budget: the memory that this worker's own decoder shares with the children.
    """

    def __init__(self, confinement: Confinement, budget: Budget, most: int) -> None:
        self._confinement, self._budget, self._most = confinement, budget, most
        self._slots = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []

    def decode(self, data: bytes, at_least: Frame | None = None, *, fresh: bool = False) -> Picture:
        """As `Decoder.decode`. `fresh`: in a child that met no picture before, so that its end is this picture's doing.

        Raises:
            InvalidImage, ImageTooLarge: as `Decoder.decode`.
            Crashed: the child ended over it.
            Overloaded: no child or no memory came free in time, or none can be started.
        """
        with suppress(_Left), self._child(fresh) as child:
            return child.decode(data, at_least, self._budget)
        with self._child(fresh=True) as child:
            return child.decode(data, at_least, self._budget)

    def close(self) -> None:
        """End the children that wait for pictures."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    @contextmanager
    def _child(self, fresh: bool) -> Iterator[_Child]:
        """A child for one picture. One that gave a picture or its error is kept for the next; any other is ended."""
        if not self._slots.acquire(timeout=4 * self._confinement.seconds):
            raise Overloaded("No decoder came free in time.")
        try:
            child = None if fresh else self._take()
            child = child or _Child(self._confinement)
            kept = False
            try:
                yield child
                kept = True
            except PictureError:
                kept = True
                raise
            finally:
                if kept:
                    self._keep(child)
                else:
                    child.end()
        finally:
            self._slots.release()

    def _take(self) -> _Child | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                child = self._idle.pop()
            if child.alive:
                return child
            child.end()

    def _keep(self, child: _Child) -> None:
        child.used = True
        with self._lock:
            spare = self._idle.pop(0) if len(self._idle) >= self._most else None
            self._idle.append(child)
        if spare:
            spare.end()


class _Child:
    """One process and its pipes. For one thread at a time."""

    def __init__(self, confinement: Confinement) -> None:
        self._confinement = confinement
        # No variable of the worker's goes along (they hold secrets), but the places that modules come from do.
        places = os.pathsep.join(os.path.abspath(place) for place in sys.path)
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                confinement.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"}, process_group=0, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            raise Overloaded("No process can be started for decoding.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._in, self._out):
            os.set_blocking(pipe, False)
            with suppress(AttributeError, OSError):  # not Linux, or the user's share is used up: slower, no more
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.used = False
        self._late = False
        try:
            kind, _ = self._head(time.monotonic() + START_S)
        except _Ended:
            kind = b""
        if kind != isolated.READY:
            self.end()
            raise Overloaded(f"The decoder did not start: {how(self._process.returncode)}")

    @property
    def alive(self) -> bool:
        """Whether it can take a picture."""
        return self._process.poll() is None

    def decode(self, data: bytes, at_least: Frame | None, budget: Budget) -> Picture:
        """One picture. Raises what `Quarantine.decode` does; after Crashed and Overloaded it is of no further use."""
        try:
            deadline = self._deadline()
            size = isolated.SIZE.pack(at_least.height, at_least.width) if at_least else isolated.SIZE.pack(0, 0)
            self._write(isolated.HEAD.pack(isolated.PICTURE, len(size) + len(data)) + size, deadline)
            self._write(data, deadline)
            kind, length = self._head(deadline)
            if kind != isolated.NEED:
                return self._answer(kind, length, deadline)
            (needed,) = struct.unpack(">Q", self._exactly(8, deadline))
            with budget.take(needed):
                deadline = self._deadline()
                self._write(isolated.HEAD.pack(isolated.GO, 0), deadline)
                return self._answer(*self._head(deadline), deadline)
        except _Ended:
            self.end()
            if self.used and self._process.returncode == 0:
                raise _Left from None
            if self._late or self._process.returncode == -signal.SIGALRM:
                raise Crashed(f"decoding took longer than {self._confinement.seconds:g} s.") from None
            raise Crashed(f"its decoder {how(self._process.returncode)}") from None

    def end(self) -> None:
        """Let it go: it ends as its pipe closes, and is killed where it does not."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, kind: bytes, length: int, deadline: float) -> Picture:
        if kind == isolated.FAILED and length <= PIPE_BYTES:
            told = json.loads(self._exactly(length, deadline))
            raise ERRORS[told["code"]](told["detail"])
        if kind == isolated.PIXELS and length >= 2 * isolated.SIZE.size:
            (full_height, full_width), (height, width) = (
                isolated.SIZE.unpack(self._exactly(isolated.SIZE.size, deadline)) for _ in range(2)
            )
            fits = (
                height <= full_height and width <= full_width and full_height * full_width <= self._confinement.pixels
            )
            if fits and length == 2 * isolated.SIZE.size + height * width * 3:
                pixels = np.empty((height, width, 3), np.uint8)
                self._fill(pixels.data.cast("B"), deadline)
                return Picture(pixels, full_width, full_height)
        raise _Ended  # what was taken over speaks no protocol

    def _deadline(self) -> float:
        return time.monotonic() + self._confinement.seconds + MARGIN_S

    def _head(self, deadline: float) -> tuple[bytes, int]:
        kind, length = isolated.HEAD.unpack(self._exactly(isolated.HEAD.size, deadline))
        return kind, length

    def _exactly(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        self._fill(memoryview(data), deadline)
        return data

    def _fill(self, view: memoryview, deadline: float) -> None:
        while view:
            self._await(self._out, select.POLLIN, deadline)
            with suppress(BlockingIOError):
                got = os.readv(self._out, [view])
                if not got:
                    raise _Ended
                view = view[got:]

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._await(self._in, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _Ended from None

    def _await(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self._late = True
            self._process.kill()
            raise _Ended


def how(code: int) -> str:
    """How a process ended, as the end of a sentence."""
    if code >= 0:
        return f"ended with exit code {code}."
    return f"was ended by {signal.Signals(-code).name}."

"""The way of a picture through a worker, top to bottom: claim, fetch, decode, fit, infer, select, commit.

Of a chunk of a bulk job a few pictures are under way at once, so that they meet in the batcher. Errors of
a picture end in its result; errors of the store end in nothing: the lease runs out and the work is done again. What has
no room here goes back to the queue. A picture that may have ended a worker is decoded in a child process, and on its
last attempt it has the device and this worker to itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from shared import observe
from shared.errors import InferenceFailed, Internal, Overloaded, PictureError, StoreFull, StoreUnavailable
from shared.manifest import Frame
from shared.queue import Waker
from shared.schema import Claim, ImageSize, ModelVersion, PictureFailure, PictureResult, Timings
from shared.steps import UPLOAD_KEEP_S, claim, crashed, finish, give_way, hand_back
from shared.store import Call, JobStore
from worker.batcher import Inferred
from worker.draw import draw
from worker.drawn import Drawn
from worker.frame import Placement, enough_for, fit_to
from worker.gate import Gate
from worker.image import Decoder, Picture, Pixels
from worker.leases import Leases
from worker.linger import Lingering
from worker.loading import Served
from worker.models import Models
from worker.quarantine import Crashed, Quarantine
from worker.select import select
from worker.sources import Sources
from worker.watchdog import Steps

logger = logging.getLogger(__name__)

T = TypeVar("T")

SLICE_S = 0.5
"""A token works at most this long before it gives way to tokens of other models and to deliveries, if there are any."""
RIDE_OUT_S = 600.0
"""A store that is away so long costs no picture an attempt: leases do not run out meanwhile (shared/lua/sweep.lua)."""
AGAIN_S = 0.2
AHEAD = 4
"""Pictures of one claim begun and not committed: each holds its frame and its output, 1.4 MB for YOLOv3-tiny at 416."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the way: pictures of one claim, seconds, and attempts; whether every picture goes to a child, and
    whether large JPEGs are decoded smaller."""

    chunk: int
    lease_s: float
    infer_timeout_s: float
    fetch_timeout_s: float
    decode_timeout_s: float
    max_attempts: int
    isolate_all: bool = False
    scaled_decode: bool = True
    upload_keep_s: int = UPLOAD_KEEP_S


@dataclass(frozen=True)
class _Begun:
    """A picture on its way through the device. Times are `time.perf_counter()` seconds."""

    pixels: Pixels | None  # kept only where the picture is to be drawn
    placement: Placement
    inferred: Future[Inferred]
    started: float
    fetch_ms: float
    decode_ms: float


_NoResult: TypeAlias = PictureError | Crashed | Overloaded
"""Why a picture has no result: its own fault, the end of the process that decoded it, or no room in this worker."""


class Detector:
    """Does what a token stands for. One per worker process; its methods run in many threads."""

    def __init__(
        self,
        store: JobStore,
        leases: Leases,
        sources: Sources,
        decoder: Decoder,
        quarantine: Quarantine,
        models: Models,
        drawn: Drawn,
        waker: Waker,
        lingering: Lingering,
        stages: observe.Stages,
        steps: Steps,
        limits: Limits,
    ) -> None:
        self._store, self._leases, self._sources = store, leases, sources
        self._decoder, self._quarantine = decoder, quarantine
        self._models, self._drawn, self._waker, self._stages = models, drawn, waker, stages
        self._steps, self._limits, self._gate, self._lingering = steps, limits, Gate(), lingering
        self.draining = threading.Event()

    def detect(self, reference: str) -> None:
        """Claim pictures of `name` or `name@version` and see each to its end, until none has come for a moment or
        others want the thread. Each claim goes to the version that the reference means then, and stays with it.
        """
        until, first, worked = time.monotonic() + SLICE_S, True, False
        try:
            while not self.draining.is_set():
                if time.monotonic() >= until and not first:
                    if self._store.run(give_way(reference)):
                        self._waker.wake_detect(reference, 1)
                        return
                    until = time.monotonic() + SLICE_S
                with self._gate.passing(), self._models.using(reference) as served:
                    if served is None:
                        return
                    claims = self._store.run(claim(reference, self._limits.chunk, self._limits.lease_s, first=first))
                    first = False
                    if claims:
                        worked = True
                        self._see_to_end(served, claims)
                if not claims:
                    if not worked or not self._lingering.for_work(reference):
                        return
                    first = True
            if not first:
                self._store.run(give_way(reference, always=True))
            self._waker.wake_detect(reference, 1)
        except Overloaded as error:
            logger.warning("token lost", extra={"error": repr(error)})  # the sweeper brings it back

    def _see_to_end(self, served: Served, claims: Sequence[Claim]) -> None:
        token = observe.job_id.set(claims[0].job.id)
        try:
            with self._leases.holding(claims):
                for one, begun in self._begin_all(served, claims):
                    self._end(served, one, begun)
        except Overloaded as error:
            logger.warning("left to the lease", extra={"error": repr(error)})
        finally:
            observe.job_id.reset(token)

    def _begin_all(self, served: Served, claims: Sequence[Claim]) -> Iterator[tuple[Claim, _Begun | _NoResult]]:
        """Begin them, `AHEAD` at once, and yield them in order. A stopping worker hands back what is not begun."""
        begun: deque[tuple[Claim, _Begun | _NoResult]] = deque()
        for position, one in enumerate(claims):
            if self.draining.is_set() and position:
                self._store.run(hand_back(claims[position:]))
                break
            if not self._leases.lost(one):
                begun.append((one, self._outcome(one, partial(self._begin, served, one))))
            if len(begun) >= AHEAD:
                yield begun.popleft()
        yield from begun

    def _outcome(self, one: Claim, step: Callable[[], T]) -> T | _NoResult:
        """What a step of one picture gives, or what ended it; trouble of the store alone gets past."""
        try:
            return step()
        except (StoreUnavailable, StoreFull):
            raise
        except (PictureError, Crashed, Overloaded) as error:
            return error
        except Exception:
            logger.exception("internal error", extra={"picture": one.index})
            return Internal("An unforeseen error; the operator's log has it under this job's id.")

    def _begin(self, served: Served, one: Claim) -> _Begun:
        limits, start = self._limits, time.perf_counter()
        data = self._ride_out(one, partial(self._fetched, one)) if one.data is None else one.data
        fetched = time.perf_counter()
        picture = self._decoded(one, data, enough_for(served.manifest, scaled=limits.scaled_decode))
        frame, placement = fit_to(served.manifest, picture)
        if one.job.options.draw and not picture.whole:
            picture = self._decoded(one, data, None)
        decoded = time.perf_counter()
        if self._decides(one) and not self._gate.alone(limits.infer_timeout_s):
            raise Overloaded("The worker has no room for a picture that must be alone.")
        inferred = served.batcher.submit(frame)
        kept = picture.pixels if one.job.options.draw else None
        return _Begun(kept, placement, inferred, start, (fetched - start) * 1e3, (decoded - fetched) * 1e3)

    def _fetched(self, one: Claim) -> bytes:
        with self._steps.taking("fetch", self._limits.fetch_timeout_s):
            return self._sources.fetch(one.source)

    def _decoded(self, one: Claim, data: bytes, at_least: Frame | None) -> Picture:
        # Waiting for memory or for a child takes as long as others' pictures do: a few times one picture's limit.
        with self._steps.taking("decode", 5 * self._limits.decode_timeout_s):
            if one.attempts > 1 or one.wary or self._limits.isolate_all:
                return self._quarantine.decode(data, at_least, fresh=self._decides(one))
            return self._decoder.decode(data, at_least)

    def _decides(self, one: Claim) -> bool:
        """Whether this attempt, if a process ends over it, is the one that makes the picture poison."""
        return 1 < one.attempts >= self._limits.max_attempts

    def _end(self, served: Served, one: Claim, begun: _Begun | _NoResult) -> None:
        if self._leases.lost(one):
            return
        outcome = self._outcome(one, partial(self._result, served, one, begun)) if isinstance(begun, _Begun) else begun
        about = {"picture": one.index, "attempt": one.attempts}
        if isinstance(outcome, Crashed):
            logger.warning("a picture ended its decoder", extra=about | {"error": outcome.detail})
            self._write(one, crashed(one, outcome.detail, self._limits.max_attempts))
        elif isinstance(outcome, Overloaded):
            logger.warning("handed back", extra=about | {"error": outcome.detail})
            self._write(one, hand_back([one]))
        else:
            result = outcome if isinstance(outcome, PictureResult) else _failed(served, one, outcome)
            by = served.manifest
            version = ModelVersion(name=by.name, version=by.version, sha256=by.sha256)
            if not self._write(one, finish(one, result, version, self._limits.upload_keep_s)):
                self._drawn.clear(one)

    def _result(self, served: Served, one: Claim, begun: _Begun) -> PictureResult:
        try:
            with self._steps.taking("infer", self._limits.infer_timeout_s):
                inferred = begun.inferred.result(self._limits.infer_timeout_s)
        except TimeoutError:
            begun.inferred.cancel()
            raise InferenceFailed(f"No answer from the model within {self._limits.infer_timeout_s:g} s.") from None
        start = time.perf_counter()
        detections = select(inferred.output, one.job.options, served.manifest, begun.placement)
        if begun.pixels is not None:
            self._ride_out(one, partial(self._drawn.keep, one, draw(begun.pixels, detections)))
        end = time.perf_counter()
        queue_ms = float(one.claimed_ms - one.created_ms)
        timings = Timings(
            queue_ms=queue_ms,
            fetch_ms=round(begun.fetch_ms, 3),
            decode_ms=round(begun.decode_ms, 3),
            batch_wait_ms=round(inferred.wait_ms, 3),
            infer_ms=round(inferred.infer_ms, 3),
            select_ms=round((end - start) * 1e3, 3),
            total_ms=round(queue_ms + (end - begun.started) * 1e3, 3),
            batch_size=inferred.batch_size,
            provider=served.provider,
            precision=served.precision,
        )
        self._stages.observe(**timings.model_dump(exclude={"batch_size", "provider", "precision"}))
        return PictureResult(
            index=one.index,
            id=one.source.id,
            status="succeeded",
            attempts=one.attempts,
            version=served.manifest.version,
            image=ImageSize(width=begun.placement.width, height=begun.placement.height),
            detections=detections,
            timings=timings,
        )

    def _ride_out(self, one: Claim, step: Callable[[], T]) -> T:
        """Take a step that needs the store, again while that is away or full; one lease at most once we are to stop."""
        begun = time.monotonic()
        while True:
            try:
                return step()
            except (StoreUnavailable, StoreFull):
                most_s = self._limits.lease_s if self.draining.is_set() else RIDE_OUT_S
                if time.monotonic() - begun > most_s or self._leases.lost(one):
                    raise
                time.sleep(AGAIN_S)

    def _write(self, one: Claim, what: Call[Any]) -> bool:
        """Let go of a picture by one step on the store. False: the claim was not good any more."""
        status = self._ride_out(one, partial(self._store.run, what))
        self._leases.drop(one)
        if not status:
            logger.info("stale result dropped", extra={"picture": one.index, "fence": one.fence})
        elif one.job.webhook is not None:
            self._waker.wake_deliver()
        return bool(status)


def _failed(served: Served, one: Claim, error: PictureError) -> PictureResult:
    why = PictureFailure(code=error.code, title=error.title, detail=error.detail)
    return PictureResult(index=one.index, id=one.source.id, status="failed", attempts=one.attempts,
                         version=served.manifest.version, error=why)  # fmt: skip

"""The way of a picture through a worker, top to bottom: claim, fetch, decode, fit, infer, select, commit.

A chunk of a bulk job is begun as a whole, so that its pictures meet in the batcher, and committed one by one. Errors of
a picture end in its result; errors of the store end in nothing: the lease runs out and the work is done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from shared import observe
from shared.blobs import LargeBlobs, drawn_blob
from shared.errors import InferenceFailed, Internal, Overloaded, PictureError
from shared.queue import Waker
from shared.schema import Claim, Detection, ImageSize, ModelVersion, PictureFailure, PictureResult, Timings
from shared.steps import blob_ttl_s, claim, finish, give_way, hand_back, keep_blob
from shared.store import JobStore
from worker.batcher import Inferred
from worker.draw import draw
from worker.image import Decoder, Pixels, Placement, fit_to
from worker.leases import Leases
from worker.loading import Served
from worker.models import Models
from worker.select import select
from worker.sources import Sources

logger = logging.getLogger(__name__)

T = TypeVar("T")

SLICE_S = 0.5
"""A token works at most this long before it gives way to tokens of other models and to deliveries, if there are any."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the way: pictures of one claim, and seconds."""

    chunk: int
    lease_s: float
    infer_timeout_s: float


@dataclass(frozen=True)
class _Begun:
    """A picture on its way through the device. Times are `time.perf_counter()` seconds."""

    pixels: Pixels | None  # kept only where the picture is to be drawn
    placement: Placement
    inferred: Future[Inferred]
    started: float
    fetch_ms: float
    decode_ms: float


class Detector:
    """Does what a token stands for. One per worker process; its methods run in many threads."""

    def __init__(
        self,
        store: JobStore,
        leases: Leases,
        sources: Sources,
        decoder: Decoder,
        models: Models,
        large_blobs: LargeBlobs | None,
        waker: Waker,
        stages: observe.Stages,
        limits: Limits,
    ) -> None:
        self._store, self._leases, self._sources, self._decoder = store, leases, sources, decoder
        self._models, self._large_blobs, self._waker, self._stages = models, large_blobs, waker, stages
        self._limits = limits
        self.draining = threading.Event()

    def detect(self, reference: str) -> None:
        """Claim pictures of `name` or `name@version` and see each to its end, until none waits or others want the
        thread. Each claim goes to the version that the reference means at its time, and stays with it.
        """
        until, first = time.monotonic() + SLICE_S, True
        try:
            while not self.draining.is_set():
                if time.monotonic() >= until and not first:
                    if self._store.run(give_way(reference)):
                        self._waker.wake_detect(reference, 1)
                        return
                    until = time.monotonic() + SLICE_S
                with self._models.using(reference) as served:
                    if served is None:
                        return
                    claims = self._store.run(claim(reference, self._limits.chunk, self._limits.lease_s, first=first))
                    if not claims:
                        return
                    first = False
                    self._see_to_end(served, claims)
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

    def _begin_all(self, served: Served, claims: Sequence[Claim]) -> Iterator[tuple[Claim, _Begun | PictureError]]:
        """Begin every picture, then yield them in order. What a stopping worker has not begun is handed back."""
        begun: list[tuple[Claim, _Begun | PictureError]] = []
        for position, one in enumerate(claims):
            if self.draining.is_set() and position:
                self._store.run(hand_back(claims[position:]))
                break
            if not self._leases.lost(one):
                begun.append((one, self._outcome(one, partial(self._begin, served, one))))
        yield from begun

    def _outcome(self, one: Claim, step: Callable[[], T]) -> T | PictureError:
        """What a step of one picture gives, or the error that it ends in; trouble of the service alone gets past."""
        try:
            return step()
        except PictureError as error:
            return error
        except Overloaded:
            raise
        except Exception:
            logger.exception("internal error", extra={"picture": one.index})
            return Internal("An unforeseen error; the operator's log has it under this job's id.")

    def _begin(self, served: Served, one: Claim) -> _Begun:
        start = time.perf_counter()
        data = self._sources.fetch(one.source) if one.data is None else one.data
        fetched = time.perf_counter()
        pixels = self._decoder.decode(data)
        frame, placement = fit_to(served.manifest, pixels)
        decoded = time.perf_counter()
        inferred = served.batcher.submit(frame)
        kept = pixels if one.job.options.draw else None
        return _Begun(kept, placement, inferred, start, (fetched - start) * 1e3, (decoded - fetched) * 1e3)

    def _end(self, served: Served, one: Claim, begun: _Begun | PictureError) -> None:
        if self._leases.lost(one):
            return
        if isinstance(begun, PictureError):
            outcome: PictureResult | PictureError = begun
        else:
            outcome = self._outcome(one, partial(self._result, served, one, begun))
        self._commit(served, one, _failed(served, one, outcome) if isinstance(outcome, PictureError) else outcome)

    def _result(self, served: Served, one: Claim, begun: _Begun) -> PictureResult:
        try:
            inferred = begun.inferred.result(self._limits.infer_timeout_s)
        except TimeoutError:
            begun.inferred.cancel()
            raise InferenceFailed(f"No answer from the model within {self._limits.infer_timeout_s:g} s.") from None
        start = time.perf_counter()
        detections = select(inferred.output, one.job.options, served.manifest, begun.placement)
        if begun.pixels is not None:
            self._keep_drawn(one, begun.pixels, detections)
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

    def _keep_drawn(self, one: Claim, pixels: Pixels, detections: tuple[Detection, ...]) -> None:
        """The artefact first, then the commit: whoever sees the job succeeded finds its picture."""
        data, name = draw(pixels, detections), drawn_blob(one.job.id, one.index)
        if self._large_blobs is not None and self._large_blobs.takes(data):
            self._large_blobs.put(name, data)
        else:
            self._store.run(keep_blob(name, data, blob_ttl_s(one.job)))

    def _commit(self, served: Served, one: Claim, result: PictureResult) -> None:
        """Write the result; ride out a store that is away for less than the lease."""
        by = ModelVersion(name=served.manifest.name, version=served.manifest.version, sha256=served.manifest.sha256)
        give_up = time.monotonic() + self._limits.lease_s
        while True:
            try:
                status = self._store.run(finish(one, result, by))
                break
            except Overloaded:
                if time.monotonic() > give_up or self._leases.lost(one):
                    raise
                time.sleep(0.2)
        self._leases.drop(one)
        if status is None:
            logger.info("stale result dropped", extra={"picture": one.index, "fence": one.fence})
        elif one.job.webhook is not None:
            self._waker.wake_deliver()


def _failed(served: Served, one: Claim, error: PictureError) -> PictureResult:
    return PictureResult(
        index=one.index,
        id=one.source.id,
        status="failed",
        attempts=one.attempts,
        version=served.manifest.version,
        error=PictureFailure(code=error.code, title=error.title, detail=error.detail),
    )

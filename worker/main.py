"""Composition root of the worker: load and warm the models or exit, announce, consume, drain.

Run as `python -m worker.main`. Exit codes: 0 after SIGTERM or SIGINT; 78 (EX_CONFIG) when starting again cannot help.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import cv2
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from shared import manifest
from shared.blobs import LargeBlobs, large_blobs
from shared.connection import connect
from shared.errors import SpotterError, StartupError
from shared.ids import ulid
from shared.observe import Stages, start_logging
from shared.queue import DELIVER_QUEUE, Waker, create_celery, declare, detect_queue
from shared.s3 import s3_place
from shared.schema import ServedModel
from shared.settings import Settings, load
from shared.store import JobStore
from shared.sweeper import Sweeper
from shared.views import blob
from worker.batcher import Batcher
from worker.deliveries import Deliveries
from worker.detect import Detector, Limits, Served
from worker.egress import Egress
from worker.engine import Engine
from worker.image import Decoder
from worker.leases import Leases
from worker.presence import Presence
from worker.sources import S3Access, Sources
from worker.tasks import register
from worker.webhooks import secret_keys

logger = logging.getLogger(__name__)

EX_CONFIG = 78


def main() -> int:
    """The process, from start to drain."""
    try:
        settings = load()
        start_logging("worker", settings.log_level)
        cv2.setNumThreads(1)  # pictures are prepared side by side already
        with ExitStack() as stack:
            return _run(settings, stack)
    except StartupError as error:
        sys.stderr.write(f"worker: {error.detail}\n")
        return EX_CONFIG
    except SpotterError as error:
        sys.stderr.write(f"worker: {error.detail}\n")
        return 1


def _run(settings: Settings, stack: ExitStack) -> int:
    """Build everything in the order of dependence; `stack` closes it the other way round."""
    models = {name: _serve(settings, name, stack) for name in _names(settings)}
    url = settings.redis_url.get_secret_value()
    client = stack.enter_context(connect(url, "worker"))
    store, celery, stages = JobStore(client), create_celery(url), Stages()
    name = f"{socket.gethostname()}-{os.getpid()}-{ulid()[-6:]}"

    waker = Waker(celery)
    waker.start()
    stack.callback(waker.stop)
    sweeper = Sweeper(
        store, celery, waker, holder=name, interval_s=settings.sweep_s, max_attempts=settings.max_attempts,
    )  # fmt: skip
    leases = Leases(store, settings.lease_s)
    leases.start()
    stack.callback(leases.stop)

    egress = Egress(
        timeout_s=settings.fetch_timeout_s, redirects=settings.fetch_redirects, ports=settings.fetch_ports,
        allow=settings.fetch_allow,
    )  # fmt: skip
    large = large_blobs(settings)
    detector = Detector(
        store, leases, _sources(settings, egress, store, large),
        Decoder(settings.max_image_pixels, settings.decode_memory_bytes), models, large, waker, stages,
        Limits(settings.chunk, settings.lease_s, settings.infer_timeout_s),
    )  # fmt: skip
    deliveries = _deliveries(settings, store, egress, waker)
    if deliveries:
        stack.callback(deliveries.stop)
    register(celery, detector, deliveries)

    presence = Presence(name, store, [_served(one) for one in models.values()], leases, stages)
    presence.start()
    stack.callback(presence.stop)
    sweeper.start()
    stack.callback(sweeper.stop)
    queues = [detect_queue(model) for model in models] + ([DELIVER_QUEUE] if deliveries else [])
    return _consume(celery, queues, settings.concurrency, detector, name)


def _names(settings: Settings) -> tuple[str, ...]:
    """The models to serve: those named, else all on disk, the default among them in any case."""
    if settings.models:
        return settings.models
    return tuple(dict.fromkeys((settings.default_model, *manifest.names(Path(settings.models_dir)))))


def _serve(settings: Settings, name: str, stack: ExitStack) -> Served:
    """Load, check and warm one model. Raises StartupError."""
    start = time.monotonic()
    described, path = manifest.read(Path(settings.models_dir), name)
    engine = Engine.load(
        path,
        described,
        provider=settings.provider,
        precision=settings.precision,
        threads=settings.infer_threads,
        device_id=settings.device_id,
    )
    max_batch = min(settings.max_batch, described.max_batch or settings.max_batch)
    engine.warm_up(max_batch)
    batcher = Batcher(engine.run, max_batch, capacity=settings.concurrency * settings.chunk)
    stack.callback(batcher.close, settings.infer_timeout_s)
    logger.info(
        "model ready",
        extra={
            "model": name,
            "version": described.version,
            "provider": engine.provider,
            "precision": engine.precision,
            "max_batch": max_batch,
            "seconds": round(time.monotonic() - start, 2),
        },
    )
    return Served(described, batcher, engine.provider, engine.precision, max_batch)


def _served(one: Served) -> ServedModel:
    return ServedModel(
        name=one.manifest.name,
        version=one.manifest.version,
        sha256=one.manifest.sha256,
        labels=one.manifest.labels,
        frame=(one.manifest.frame.width, one.manifest.frame.height),
        provider=one.provider,
        precision=one.precision,
        max_batch=one.max_batch,
    )


def _sources(settings: Settings, egress: Egress, store: JobStore, large: LargeBlobs | None) -> Sources:
    def get_upload(name: str) -> bytes | None:
        data = store.run(blob(name))
        return large.get(name) if data is None and large else data

    access = S3Access(settings.s3_buckets, settings.fetch_timeout_s, s3_place(settings))
    return Sources(egress, access, get_upload, settings.max_image_bytes)


def _deliveries(settings: Settings, store: JobStore, egress: Egress, waker: Waker) -> Deliveries | None:
    if settings.webhook_secret is None:
        return None
    secret = settings.webhook_secret.get_secret_value()
    secret_keys(secret)  # a malformed one stops the start, not the first delivery
    return Deliveries(
        store,
        egress,
        waker,
        secret=secret,
        timeout_s=settings.webhook_timeout_s,
        allow_http=settings.webhook_http,
        base_url=settings.base_url,
    )


def _consume(celery: Celery, queues: list[str], concurrency: int, detector: Detector, name: str) -> int:
    """Take tokens until SIGTERM or SIGINT; then finish what runs and give the rest back to the broker."""
    # Celery warns of root because of pickled messages; this app takes JSON alone.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.setup_logging.connect(lambda **_: None, weak=False)  # logging is set up already; Celery keeps off
    signals.worker_shutting_down.connect(lambda **_: detector.draining.set(), weak=False)
    celery.conf.task_queues = [declare(queue) for queue in queues]
    worker = celery.Worker(
        hostname=name,
        pool="threads",  # a CUDA context does not survive fork; threads share one model and one batcher
        concurrency=concurrency,
        queues=queues,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())

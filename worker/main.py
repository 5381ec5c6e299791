"""Composition root of the worker: load and warm the models or exit, announce, consume, drain.

Run as `python -m worker.main`. Exit codes: 0 after SIGTERM or SIGINT; 78 (EX_CONFIG) when starting again cannot help.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

import cv2
from celery import signals
from celery.exceptions import SecurityWarning

from shared.blobs import LargeBlobs, large_blobs
from shared.collector import spare_collections
from shared.connection import connect
from shared.errors import SpotterError, StartupError
from shared.ids import ulid
from shared.observe import Stages, start_logging
from shared.queue import DELIVER_QUEUE, Waker, create_celery
from shared.s3 import s3_place
from shared.settings import Settings, load
from shared.store import JobStore
from shared.sweeper import Sweeper
from shared.views import blob
from worker.deliveries import Deliveries
from worker.detect import Detector, Limits
from worker.drawn import Drawn
from worker.egress import Egress
from worker.hardware import cores
from worker.image import Decoder
from worker.leases import Leases
from worker.linger import Lingering
from worker.loading import Loader
from worker.models import Models
from worker.plan import Asked, concurrency
from worker.presence import Presence, bury
from worker.providers import computes_on_gpu
from worker.quarantine import Confinement, Quarantine
from worker.reload import Reload, assigned
from worker.sources import S3Access, Sources
from worker.subscriptions import Subscriptions
from worker.tasks import register
from worker.watchdog import Steps, Watchdog

logger = logging.getLogger(__name__)

EX_CONFIG = 78


def main() -> int:
    """The process, from start to drain."""
    # Until Celery takes the signal over: leave through the stack, so that nothing stays announced.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = load()
        start_logging("worker", settings.log_level)
        cv2.setNumThreads(1)  # pictures are prepared side by side already
        spare_collections()
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
    side_by_side = concurrency(settings.concurrency, cores(), computes_on_gpu(settings.provider))
    models = _models(settings, side_by_side)
    stack.callback(models.close, settings.infer_timeout_s)
    client = stack.enter_context(connect(settings.redis_url.get_secret_value(), "worker"))
    store, celery, stages = JobStore(client), create_celery(settings.broker), Stages()
    models.assigned = assigned(store)
    models.load_all()
    name = f"{socket.gethostname()}-{os.getpid()}-{ulid()[-6:]}"

    waker = Waker(celery)
    waker.start()
    stack.callback(waker.stop)
    sweeper = Sweeper(
        store, celery, waker, holder=name, interval_s=settings.sweep_s, lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
    )  # fmt: skip
    leases = Leases(store, settings.lease_s)
    leases.start()
    stack.callback(leases.stop)

    egress = Egress(
        timeout_s=settings.fetch_timeout_s, redirects=settings.fetch_redirects, ports=settings.fetch_ports,
        allow=settings.fetch_allow, deny=settings.fetch_deny,
    )  # fmt: skip
    large = large_blobs(settings)
    decoder, steps = Decoder(settings.max_image_pixels, settings.decode_memory_bytes), Steps()
    quarantine = _quarantine(settings, decoder, side_by_side)
    stack.callback(quarantine.close)
    detector = Detector(
        store, leases, _sources(settings, egress, store, large), decoder, quarantine, models,
        Drawn(store, large), waker, Lingering(store, side_by_side), stages, steps, _limits(settings),
    )  # fmt: skip
    deliveries = _deliveries(settings, store, egress)
    if deliveries:
        stack.callback(deliveries.stop)
    register(celery, detector, deliveries)

    subscriptions = Subscriptions(celery, [DELIVER_QUEUE] if deliveries else [])
    subscriptions.want(models.references)
    bury(store)
    logger.info("worker ready", extra={"cores": cores(), "concurrency": side_by_side, "chunk": settings.chunk})
    presence = Presence(name, store, models, leases, stages, side_by_side)
    presence.start()
    stack.callback(presence.stop)
    reload = Reload(
        models, store, subscriptions, presence, every_s=settings.reload_s, close_s=settings.infer_timeout_s,
    )  # fmt: skip
    reload.start()
    stack.callback(reload.stop)
    sweeper.start()
    stack.callback(sweeper.stop)
    watchdog = Watchdog(lambda: models.batchers, steps, hang_s=settings.hang_s)
    watchdog.start()
    stack.callback(watchdog.stop)
    return _consume(subscriptions, side_by_side, detector, name)


def _models(settings: Settings, side_by_side: int) -> Models:
    """Those named, else all on disk, the default among them in any case."""
    loader = Loader(
        provider=settings.provider,
        precision=settings.precision,
        asked=Asked(
            threads=settings.infer_threads,
            lanes=settings.lanes,
            max_batch=settings.max_batch,
            device_id=settings.device_id,
            memory_bytes=settings.gpu_memory_bytes,
            cache=Path(settings.engine_cache).expanduser() if settings.provider == "tensorrt" else None,
        ),
        capacity=side_by_side * settings.chunk,
    )
    return Models(
        Path(settings.models_dir),
        loader,
        required=settings.models or (settings.default_model,),
        discover=not settings.models,
        grace_s=settings.retire_s,
    )


def _sources(settings: Settings, egress: Egress, store: JobStore, large: LargeBlobs | None) -> Sources:
    def get_upload(name: str) -> bytes | None:
        data = store.run(blob(name))
        return large.get(name) if data is None and large else data

    access = S3Access(settings.s3_buckets, settings.fetch_timeout_s, s3_place(settings))
    return Sources(egress, access, get_upload, settings.max_image_bytes)


def _quarantine(settings: Settings, decoder: Decoder, side_by_side: int) -> Quarantine:
    confinement = Confinement(
        settings.max_image_pixels, settings.decode_memory_bytes, settings.max_image_bytes, settings.decode_timeout_s
    )
    # More children than cores decode no faster; one more, so that one that hangs costs little.
    return Quarantine(confinement, decoder.budget, min(side_by_side, cores() + 1))


def _limits(settings: Settings) -> Limits:
    return Limits(
        chunk=settings.chunk,
        lease_s=settings.lease_s,
        infer_timeout_s=settings.infer_timeout_s,
        fetch_timeout_s=settings.fetch_timeout_s,
        decode_timeout_s=settings.decode_timeout_s,
        max_attempts=settings.max_attempts,
        isolate_all=settings.isolate == "always",
        scaled_decode=settings.scaled_decode,
        upload_keep_s=settings.upload_keep_s,
    )


def _deliveries(settings: Settings, store: JobStore, egress: Egress) -> Deliveries | None:
    if settings.webhook_secret is None:
        return None
    secret = settings.webhook_secret.get_secret_value()
    return Deliveries(
        store,
        egress,
        secret=secret,
        timeout_s=settings.webhook_timeout_s,
        retry_s=settings.webhook_retry_s,
        allow_http=settings.webhook_http,
        base_url=settings.base_url,
    )


def _consume(subscriptions: Subscriptions, side_by_side: int, detector: Detector, name: str) -> int:
    """Take tokens until SIGTERM or SIGINT; then finish what runs and give the rest back to the broker."""
    # Celery warns of root because of pickled messages; this app takes JSON alone.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.setup_logging.connect(lambda **_: None, weak=False)  # logging is set up already; Celery keeps off
    signals.worker_shutting_down.connect(lambda **_: detector.draining.set(), weak=False)
    worker = subscriptions.worker(
        hostname=name,
        pool="threads",  # a CUDA context does not survive fork; threads share one model and one batcher
        concurrency=side_by_side,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())

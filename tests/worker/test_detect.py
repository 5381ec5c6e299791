"""The way of a picture through the worker: real store, real pictures, a faked device."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from bench.crashing import CRASH, install, marked
from shared import observe
from shared.blobs import drawn_blob
from shared.errors import FetchFailed, InferenceFailed, Overloaded, StoreUnavailable
from shared.manifest import Frame, Manifest, Origin
from shared.schema import JobSpec, Options, StoredSource, UploadSource, Webhook
from shared.steps import accept, beware, cancel, claim, finish, hand_back, sweep
from shared.store import PREFIX, JobStore
from shared.views import Snapshot, backlog, blob, view
from tests.shared.store_samples import BY, good, spec
from tests.worker.fake_models import OneModel
from worker import detect
from worker.batcher import Batcher, Frames
from worker.detect import Detector, Limits
from worker.drawn import Drawn
from worker.image import Decoder
from worker.leases import Leases
from worker.linger import Lingering
from worker.loading import Served
from worker.output import Output
from worker.quarantine import Confinement, Quarantine
from worker.watchdog import Steps

MANIFEST = Manifest(
    name="m",
    version="7",
    sha256="a" * 64,
    labels=("dog", "cat"),
    frame=Frame(width=32, height=32),
    origin=Origin(source="test", licence="none"),
)
LIMITS = Limits(chunk=16, lease_s=1.0, infer_timeout_s=5.0, fetch_timeout_s=5.0, decode_timeout_s=2.0, max_attempts=3)
BOX = (0.25, 0.25, 0.75, 0.5)


def picture(width: int = 80, height: int = 60) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(out, "PNG")
    return out.getvalue()


def stripes() -> bytes:
    """A JPEG of 328 x 248, ten times the frame and a bit: black and white columns of one pixel, grey from afar."""
    pixels = np.zeros((248, 328), np.uint8)
    pixels[:, ::2] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


class Device:
    """Finds one dog of 0.9 in every frame, or does what `act` says."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.last: Frames = np.zeros((0, 0, 0, 3), np.uint8)
        self.act: Callable[[], None] = lambda: None

    def __call__(self, frames: Frames, /) -> Output:
        self.batches.append(len(frames))
        self.last = frames
        self.act()
        n = len(frames)
        boxes = np.tile(np.array(BOX, np.float32), (n, 1, 1))
        scores = np.tile(np.array([0.9, 0.1], np.float32), (n, 1, 1))
        return Output(boxes, scores, None)


class Fetched:
    """Answers uploads from a mapping: bytes, or an error to raise."""

    def __init__(self, found: Mapping[str, bytes | Exception]) -> None:
        self.found = dict(found)
        self.before: Callable[[], None] = lambda: None

    def fetch(self, source: StoredSource) -> bytes:
        self.before()
        assert isinstance(source, UploadSource)
        found = self.found.get(source.upload, self.found.get("*"))
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return found


class Tokens:
    """Counts wake-ups."""

    delivers = 0
    detects = 0

    def wake_detect(self, model: str, tokens: int) -> None:
        self.detects += tokens

    def wake_deliver(self) -> None:
        self.delivers += 1


class Bench:
    """A detector with everything around it."""

    def __init__(self, store: JobStore) -> None:
        self.store, self.device, self.sources, self.tokens = store, Device(), Fetched({"*": picture()}), Tokens()
        self.leases = Leases(store, 30)
        self.batcher = Batcher(self.device, 8, capacity=64)
        served = Served(MANIFEST, self.batcher, "cpu", "fp32", 8)
        self.stages = observe.Stages()
        decoder = Decoder(1_000_000, 1 << 26)
        self.quarantine = Quarantine(Confinement(1_000_000, 1 << 26, 1 << 20, 2.0), decoder.budget, 2)
        self.detector = Detector(
            store, self.leases, self.sources, decoder, self.quarantine, OneModel(served),  # type: ignore[arg-type]
            Drawn(store, None), self.tokens, Lingering(store, 1), self.stages, Steps(), LIMITS,  # type: ignore[arg-type]
        )  # fmt: skip

    def send(self, total: int = 1, **changes: object) -> JobSpec:
        job = spec(total, **changes)
        sources = [UploadSource(upload=f"upl_{k:020d}", id=f"p{k}") for k in range(total)]
        self.store.run(accept(job, sources, queue_limit=100_000))
        return job

    def seen(self, job: JobSpec) -> Snapshot:
        (snapshot,) = self.store.run(view([job.id], inline_results=100))
        assert snapshot is not None
        return snapshot


@pytest.fixture
def bench(store: JobStore) -> Iterator[Bench]:
    bench = Bench(store)
    yield bench
    bench.batcher.close(5)
    bench.quarantine.close()


def test_a_picture_goes_from_bytes_to_boxes_in_its_own_pixels(bench: Bench) -> None:
    job = bench.send()
    bench.detector.detect("m")
    snapshot = bench.seen(job)
    assert snapshot.view.status == "succeeded"
    assert (snapshot.view.model.version, snapshot.view.model.sha256) == ("7", "a" * 64)
    assert snapshot.view.results is not None
    (result,) = snapshot.view.results
    assert result.version == "7"
    assert (result.id, result.image and (result.image.width, result.image.height)) == ("p0", (80, 60))
    assert result.detections is not None
    (found,) = result.detections
    assert (found.label, found.class_id) == ("dog", 0)
    assert found.confidence == pytest.approx(0.9, abs=1e-4)
    assert (found.box.x, found.box.y, found.box.width, found.box.height) == pytest.approx((20, 15, 40, 15))
    timings = result.timings
    assert timings is not None
    assert (timings.batch_size, timings.provider, timings.precision) == (1, "cpu", "fp32")
    parts = timings.queue_ms + timings.fetch_ms + timings.decode_ms + timings.infer_ms + timings.select_ms
    assert parts <= timings.total_ms + 1
    assert bench.stages.snapshot()["infer_ms"]["sum_ms"] > 0
    assert bench.leases.busy == 0


def test_a_token_without_work_or_of_a_foreign_model_does_nothing(bench: Bench) -> None:
    bench.detector.detect("m")
    bench.send(model="other")
    bench.detector.detect("other")
    assert bench.device.batches == []


def test_a_job_that_is_bound_to_a_version_has_a_queue_of_its_own(bench: Bench) -> None:
    bound, other = bench.send(model="m@7"), bench.send(model="m@8")
    bench.detector.detect("m")
    assert bench.seen(bound).view.status == "queued"
    bench.detector.detect("m@7")
    bench.detector.detect("m@8")
    assert bench.seen(bound).view.status == "succeeded"
    assert bench.seen(other).view.status == "queued"


def test_a_bulk_job_is_taken_in_chunks_that_meet_in_the_batcher(bench: Bench) -> None:
    job = bench.send(64)

    def busy_until_others_wait() -> None:
        deadline = time.monotonic() + 5
        while not bench.batcher.waiting and len(bench.device.batches) == 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    bench.device.act = busy_until_others_wait
    bench.detector.detect("m")
    assert max(bench.device.batches) > 1
    while bench.store.run(backlog()):
        bench.detector.detect("m")
    final = bench.seen(job)
    assert final.view.status == "succeeded"
    assert [result.id for result in final.view.results or ()] == [f"p{k}" for k in range(64)]


def test_few_pictures_of_a_chunk_are_in_memory_at_once(bench: Bench) -> None:
    job, held, begun = bench.send(64), list[int](), 0

    def count() -> None:
        nonlocal begun
        begun += 1
        held.append(begun - bench.seen(job).view.counts.succeeded)

    bench.sources.before = count
    bench.detector.detect("m")
    assert begun >= 8, "a chunk is not larger than what is held"
    assert max(held) == detect.AHEAD


def test_each_picture_fails_by_itself(bench: Bench) -> None:
    bench.sources.found = {
        "upl_" + "0" * 19 + "0": b"not a picture",
        "upl_" + "0" * 19 + "1": FetchFailed("The other side broke off."),
        "upl_" + "0" * 19 + "2": RuntimeError("a bug"),
        "*": picture(),
    }
    job = bench.send(4)
    for _ in range(4):
        bench.detector.detect("m")
    results = bench.seen(job).view.results or ()
    assert [result.error.code if result.error else None for result in results] == [
        "invalid_image", "fetch_failed", "internal", None,
    ]  # fmt: skip
    assert "bug" not in str(results[2].error)
    assert bench.seen(job).view.status == "succeeded"


def test_a_device_that_fails_is_an_inference_failure(bench: Bench) -> None:
    def broken() -> None:
        raise InferenceFailed

    bench.device.act = broken
    job = bench.send()
    bench.detector.detect("m")
    (result,) = bench.seen(job).view.results or ()
    assert result.error is not None
    assert result.error.code == "inference_failed"
    assert bench.seen(job).view.status == "failed"


def test_the_drawn_picture_is_there_before_the_job_is_done(bench: Bench) -> None:
    job = bench.send(options=Options(draw=True))
    bench.detector.detect("m")
    data = bench.store.run(blob(drawn_blob(job.id, 0)))
    assert data is not None
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (80, 60))


@pytest.mark.parametrize("limits", [LIMITS, replace(LIMITS, isolate_all=True)])
@pytest.mark.parametrize("draw", [False, True])
def test_a_large_jpeg_is_decoded_smaller_and_answered_in_its_own_pixels(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limits: Limits, draw: bool
) -> None:
    monkeypatch.setattr(bench.detector, "_limits", limits)
    bench.sources.found = {"*": stripes()}
    job = bench.send(options=Options(draw=draw))
    bench.detector.detect("m")
    (result,) = bench.seen(job).view.results or ()
    assert np.abs(bench.device.last.astype(int) - 128).max() < 8  # averaged, not every tenth column
    assert result.image is not None
    assert (result.image.width, result.image.height) == (328, 248)
    (found,) = result.detections or ()
    assert (found.box.x, found.box.y, found.box.width, found.box.height) == pytest.approx((82, 62, 164, 62))
    data = bench.store.run(blob(drawn_blob(job.id, 0)))
    assert (data is not None) == draw
    if data is not None:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (328, 248)
            assert np.asarray(image.convert("L"))[200:].std() > 100  # the stripes are there


def test_a_large_jpeg_is_decoded_whole_where_that_is_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.detector, "_limits", replace(LIMITS, scaled_decode=False))
    bench.sources.found = {"*": stripes()}
    bench.send()
    bench.detector.detect("m")
    assert np.ptp(bench.device.last) > 100


def test_a_picture_whose_job_is_canceled_meanwhile_is_not_written(bench: Bench) -> None:
    job = bench.send()

    def cancel_it() -> None:
        bench.store.run(cancel(job.id))

    bench.device.act = cancel_it
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "canceled"
    assert (bench.seen(job).view.results or ())[0].detections is None


def test_a_lease_that_was_lost_meanwhile_writes_nothing(bench: Bench, client: redis.Redis) -> None:
    job = bench.send()

    def taken_over() -> None:
        (held,) = bench.leases._held.values()
        bench.store.run(hand_back([held]))
        (second,) = bench.store.run(claim("m", 1, 30))
        bench.store.run(finish(second, good(), BY))

    bench.device.act = taken_over
    bench.detector.detect("m")
    assert bench.seen(job).view.model == BY
    assert client.hget(PREFIX + "stats", "pictures:m:ok") == b"1"


def test_a_store_that_is_away_ends_no_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as failed nor as done: the lease runs out, and another claim does the work."""
    monkeypatch.setattr(detect, "RIDE_OUT_S", 0.1)
    job = bench.send()
    bench.sources.found = {"*": StoreUnavailable()}
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "running"
    assert bench.leases.busy == 0


def test_an_outage_before_the_commit_is_ridden_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "AGAIN_S", 0.01)
    job, real, failures = bench.send(), bench.sources.fetch, iter(range(20))

    def flaky(source: StoredSource) -> bytes:
        if next(failures, None) is not None:
            raise StoreUnavailable
        return real(source)

    monkeypatch.setattr(bench.sources, "fetch", flaky)
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "succeeded"
    assert bench.seen(job).view.attempts == 1


def test_a_worker_that_is_to_stop_waits_for_the_store_no_longer_than_its_lease(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.detector, "_limits", replace(LIMITS, lease_s=0.1))
    job = bench.send()
    bench.sources.before, bench.sources.found = bench.detector.draining.set, {"*": StoreUnavailable()}
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "running"


def test_a_short_outage_at_the_commit_is_ridden_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.send()
    real, failures = bench.store.run, iter(range(2))

    def flaky(call: object) -> object:
        if getattr(call, "script", "") == "finish" and next(failures, None) is not None:
            raise StoreUnavailable
        return real(call)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.store, "run", flaky)
    bench.detector.detect("m")
    monkeypatch.undo()
    assert bench.seen(job).view.status == "succeeded"


def test_a_draining_worker_finishes_one_and_hands_back_the_rest(bench: Bench) -> None:
    job = bench.send(64)
    bench.sources.before = bench.detector.draining.set
    bench.detector.detect("m")
    counts = bench.seen(job).view.counts
    assert (counts.succeeded, counts.running, counts.queued) == (1, 0, 63)
    assert bench.tokens.detects == 1  # its token goes to another worker
    bench.detector.detect("m")
    assert bench.seen(job).view.counts == counts
    assert bench.tokens.detects == 2


def test_a_token_works_until_nothing_waits_and_gives_way_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [bench.send() for _ in range(5)]
    bench.detector.detect("m")
    assert all(bench.seen(job).final for job in jobs)
    assert bench.tokens.detects == 0
    monkeypatch.setattr(detect, "SLICE_S", 0.0)
    jobs = [bench.send() for _ in range(3)]
    bench.detector.detect("m")  # its slice is over, but nobody else wants the thread
    assert all(bench.seen(job).final for job in jobs)
    assert bench.tokens.detects == 0
    jobs = [bench.send() for _ in range(3)]
    bench.send(model="other")
    bench.detector.detect("m")
    assert [bench.seen(job).final for job in jobs].count(True) == 1
    assert bench.tokens.detects == 1


def test_an_ended_job_with_a_webhook_wakes_the_deliveries(bench: Bench) -> None:
    bench.send(webhook=Webhook(url="https://example.com/hook"))
    bench.detector.detect("m")
    assert bench.tokens.delivers == 1


def as_in_the_past(bench: Bench, client: redis.Redis, deaths: int) -> None:
    """Workers died over the next picture before."""
    for _ in range(deaths):
        (held,) = bench.store.run(claim("m", 1, 30))
        client.zadd(PREFIX + "leases", {f"{held.job.id}/{held.index}": 0})
        bench.store.run(sweep(most=10, max_attempts=3))
    client.delete(PREFIX + "wary")


@pytest.fixture
def crashing(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Children crash on marked pictures."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return bench


def test_a_picture_that_ended_a_worker_is_decoded_in_a_child_until_it_is_poison(
    crashing: Bench, client: redis.Redis
) -> None:
    crashing.sources.found = {"*": marked(CRASH)}
    job = crashing.send(webhook=Webhook(url="https://example.com/hook"))
    as_in_the_past(crashing, client, 1)
    crashing.detector.detect("m")
    (result,) = crashing.seen(job).view.results or ()
    assert result.error is not None
    assert (result.error.code, result.attempts) == ("poison", 3)
    assert result.error.detail == "Given up after 3 attempts; the last: its decoder was ended by SIGSEGV."
    assert crashing.seen(job).view.status == "failed"
    assert crashing.tokens.delivers > 0
    assert crashing.leases.busy == 0
    assert client.zrange(PREFIX + "dead", 0, -1) == [f"{job.id}/0".encode()]


def test_while_workers_are_wary_first_attempts_are_decoded_in_children_too(crashing: Bench) -> None:
    crashing.store.run(beware())
    crashing.sources.found = {"upl_" + "0" * 19 + "1": marked(CRASH), "*": picture()}
    job = crashing.send(3)
    crashing.detector.detect("m")
    counts = crashing.seen(job).view.counts
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert crashing.seen(job).view.attempts == 3


def test_every_picture_goes_to_a_child_where_the_settings_say_so(crashing: Bench) -> None:
    crashing.detector._limits = replace(LIMITS, isolate_all=True)
    crashing.sources.found = {"*": marked(CRASH)}
    job = crashing.send()
    crashing.detector.detect("m")
    (result,) = crashing.seen(job).view.results or ()
    assert result.error is not None
    assert result.error.code == "poison"


def test_on_its_last_attempt_a_picture_has_the_worker_to_itself(bench: Bench, client: redis.Redis) -> None:
    last = bench.send()
    as_in_the_past(bench, client, 2)
    others = [bench.send() for _ in range(6)]
    in_hand: list[int] = []

    def count() -> None:
        if bench.detector._gate._alone is not None and bench.seen(last).view.status == "running":
            in_hand.append(bench.leases.busy)

    bench.device.act = count
    began = threading.Barrier(4)

    def work() -> None:
        began.wait(10)
        bench.detector.detect("m")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert bench.seen(last).view.attempts == 3
    assert all(bench.seen(job).view.status == "succeeded" for job in (last, *others))
    assert in_hand[-1] == 1, "another picture was in this worker's hands meanwhile"


def test_what_has_no_room_here_is_handed_back_and_no_attempt_is_counted(bench: Bench) -> None:
    job = bench.send()
    attempts = iter(range(2))

    def no_room() -> None:
        if next(attempts, None) is not None:
            raise Overloaded("No memory for decoding came free.")

    bench.sources.before = no_room
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "succeeded"
    assert bench.seen(job).view.attempts == 1


def test_trouble_of_the_store_in_the_middle_leaves_a_picture_to_its_lease(
    bench: Bench, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "RIDE_OUT_S", 0.1)
    bench.sources.found = {"*": StoreUnavailable()}
    job = bench.send()
    bench.detector.detect("m")
    assert bench.seen(job).view.status == "running"
    assert client.zcard(PREFIX + "leases") == 1
    assert bench.leases.busy == 0, "nobody beats for it any more"

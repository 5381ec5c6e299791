"""What clients do, as rules: accept, PUT, recall, cancel, retry, delete, replay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shared.dead import dead_letter, take_off
from shared.errors import (
    IdempotencyMismatch,
    JobIdTaken,
    JobNotFinished,
    JobNotFound,
    NothingToRetry,
    QueueFull,
    QuotaExceeded,
)
from shared.keys import UNLIMITED, Limits
from shared.lifecycle import delete, retry
from shared.recall import NotedUpload, Recalled, recall
from shared.schema import JobSpec, Options, Priority, Webhook, WebhookEvent
from shared.steps import AGE_BOOST_MS, Idempotent, accept, blob_ttl_s, cancel
from tests.shared.machine.ground import MODELS, OWNERS, PICK
from tests.shared.machine.reference_records import Job, Picture
from tests.shared.machine.uploads import KINDS, Uploads, limits_of

QUEUE_LIMIT = 60
ENDS: tuple[WebhookEvent, ...] = ("job.succeeded", "job.failed", "job.canceled", "job.expired")
HOOKS = st.sampled_from(
    [
        None,
        Webhook(url="https://one.example/a", events=ENDS),
        Webhook(url="https://one.example/b", events=ENDS),
        Webhook(url="http://two.example:8080/", events=("job.failed", "job.expired")),
    ]
)
SIZES = st.sampled_from([1, 1, 1, 2, 2, 3, 17])


class Clients(Uploads):
    """Part of the walk."""

    def new(self, id: str, owner: str, model: str, total: int, **fields: Any) -> JobSpec:
        more: dict[str, Any] = {"priority": "normal", "deadline_s": 60, "retain_s": 30, "options": Options()} | fields
        return JobSpec(id=id, owner=owner, model=model, total=total, **more)

    def refused(self, model: str, owner: str, pictures: int, limits: Limits) -> type[Exception] | None:
        """Why so many pictures more may not wait, if so."""
        open_now, waiting = len(self.jobs.open_jobs(owner=owner)), self.jobs.waiting(owner=owner) + pictures
        if (limits.open_jobs and open_now >= limits.open_jobs) or (limits.waiting and waiting > limits.waiting):
            return QuotaExceeded
        return QueueFull if self.jobs.waiting(model=model) + pictures > QUEUE_LIMIT else None

    def submit(
        self, spec: JobSpec, pictures: list[Picture], *, key: tuple[str, str] | None = None, limits: Limits = UNLIMITED,
        recalled: Recalled | None = None, chosen: str = "", with_bytes: bool = True,
    ) -> None:  # fmt: skip
        """Accept a job where the reference would, and only there."""
        call = accept(
            spec,
            [NotedUpload(upload=one.upload, digest=one.digest) for one in pictures],
            queue_limit=QUEUE_LIMIT, limits=limits, recalled=recalled, chosen=chosen,
            idempotent=Idempotent(*key) if key else None,
            blobs={one.upload: b"bytes" for one in pictures if not one.kept} if with_bytes else {},
        )  # fmt: skip
        if self.before(call, spec, key, chosen):
            return
        why = self.refused(spec.model, spec.owner, spec.total, limits)
        accepted = self.charged(spec.owner, limits, call, why)
        if accepted is None:
            return
        hook = spec.webhook
        job = Job(
            spec.id, spec.owner, spec.model, self.now - AGE_BOOST_MS[spec.priority], self.now,
            self.now + spec.deadline_s * 1000, spec.retain_s * 1000, pictures, spec,
            hook.events if hook else (), hook.url if hook else "", draw=spec.options.draw,
            same=(key[1] if key else chosen) if chosen else None, era=self.clock.now_us if chosen else 0,
        )  # fmt: skip
        if chosen:
            self.outbox.drop(spec.id, self.now)
            self.forget(spec.id)
        bytes_ms = blob_ttl_s(spec) * 1000 if with_bytes else None
        tokens = self.jobs.accept(job, key=key, cached=recalled is not None, bytes_ms=bytes_ms)
        assert (accepted.earlier, accepted.tokens) == (None, tokens)
        self.broker[spec.model] += tokens

    def before(self, call: Any, spec: JobSpec, key: tuple[str, str] | None, chosen: str) -> bool:
        """Whether the id or the key made a job before, and the answer is that."""
        there = self.jobs.kept(spec.id, self.now)
        if there and chosen and (there.owner, there.same) == (spec.owner, key[1] if key else chosen):
            assert self.api.run(call).earlier == spec.id, "an id made a second job"
        elif there:
            with pytest.raises(JobIdTaken):
                self.api.run(call)
        else:
            known = self.jobs.keys.get((spec.owner, key[0])) if key else None
            if not key or not known or self.now > known[2]:
                return False
            if known[0] == key[1]:
                assert self.api.run(call).earlier == known[1].id, "a key made a second job"
            else:
                with pytest.raises(IdempotencyMismatch):
                    self.api.run(call)
        return True

    def forget(self, id: str) -> None:
        """What was heard of an earlier job of this id says nothing of the next one."""
        self.deleted.pop(id, None)
        self.heard = {name: heard for name, heard in self.heard.items() if name[0] != id}

    @initialize(jobs=st.lists(st.tuples(OWNERS, SIZES, HOOKS), min_size=1, max_size=3))
    def first_ones(self, jobs: list[tuple[str, int, Webhook | None]]) -> None:
        """No walk is without jobs."""
        for owner, total, hook in jobs:
            spec = self.new(f"job_{self.name()}", owner, "m", total, webhook=hook)
            self.submit(spec, [Picture(f"upl_{self.name():0>20}", f"d{k % 3}") for k in range(total)])

    @rule(
        owner=OWNERS, model=MODELS, total=SIZES, hook=HOOKS, priority=st.sampled_from(["low", "normal", "high"]),
        deadline_s=st.sampled_from([5, 40, 600]), retain_s=st.sampled_from([10, 60, 3600]),
        key=st.sampled_from([None, None, "k1", "k2"]), limits=KINDS, draw=st.booleans(),
    )  # fmt: skip
    def accept(
        self, owner: str, model: str, total: int, hook: Webhook | None, priority: Priority, deadline_s: int,
        retain_s: int, key: str | None, limits: str, draw: bool,
    ) -> None:  # fmt: skip
        spec = self.new(
            f"job_{self.name()}", owner, model, total, webhook=hook, priority=priority, deadline_s=deadline_s,
            retain_s=retain_s, options=Options(draw=draw),
        )  # fmt: skip
        digests = [None if draw else f"d{k % 3}" for k in range(total)]
        pictures = [Picture(f"upl_{self.name():0>20}", digest) for digest in digests]
        same = (key, str(total)) if key else None
        self.submit(spec, pictures, key=same, limits=limits_of(owner, limits))

    @precondition(lambda self: self.kept.all)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=2), model=MODELS, more=st.integers(0, 1), limits=KINDS,
        deadline_s=st.sampled_from([5, 600]), retain_s=st.sampled_from([10, 600]),
    )  # fmt: skip
    def accept_with_kept_uploads(
        self, picks: list[int], model: str, more: int, limits: str, deadline_s: int, retain_s: int
    ) -> None:
        """A job that names what its owner keeps, perhaps beside a picture that comes with it."""
        owner = self.upload(picks[0]).owner
        names = [self.upload(pick).name for pick in picks]
        total = len(names) + more
        spec = self.new(f"job_{self.name()}", owner, model, total, deadline_s=deadline_s, retain_s=retain_s)
        if self.held_for_a_job(owner, names, blob_ttl_s(spec)):
            own = [f"upl_{self.name():0>20}" for _ in range(more)]
            self.submit(spec, [Picture(name) for name in names + own], limits=limits_of(owner, limits))

    @rule(
        id=st.sampled_from(["job_mine", "job_other"]), owner=OWNERS, total=st.sampled_from([1, 1, 2]), hook=HOOKS,
        key=st.sampled_from([None, None, "k1"]), draw=st.booleans(),
    )  # fmt: skip
    def put(self, id: str, owner: str, total: int, hook: Webhook | None, key: str | None, draw: bool) -> None:
        """An id of the client's, used again once its job is gone. The fingerprint of the request is its size."""
        spec = self.new(id, owner, "m", total, webhook=hook, retain_s=10, options=Options(draw=draw))
        pictures = [Picture(f"upl_{self.name():0>20}") for _ in range(total)]
        self.submit(spec, pictures, key=(key, str(total)) if key else None, chosen=str(total))

    @precondition(lambda self: self.jobs.notes)
    @rule(owner=OWNERS, model=MODELS, total=st.integers(1, 3), hook=HOOKS)
    def recall(self, owner: str, model: str, total: int, hook: Webhook | None) -> None:
        """Pictures that were answered before: their results at once, where every one of them is still kept."""
        pictures = [Picture(f"upl_{self.name():0>20}", f"d{k}") for k in range(total)]
        asked = [NotedUpload(upload=one.upload, digest=one.digest) for one in pictures]
        found = self.api.run(recall(owner, f"{model}@1", asked))
        notes = [self.jobs.notes.get((owner, model, f"d{k}")) for k in range(total)]
        there = [note for note in notes if note and self.now <= note[2] and self.jobs.kept(note[0], self.now)]
        assert (found is not None) == (len(there) == total), "an earlier result that is not there, or the reverse"
        if found:
            assert [one.detections for one in found.results] == [()] * total
            spec = self.new(f"job_{self.name()}", owner, model, total, webhook=hook)
            self.submit(spec, pictures, recalled=found, with_bytes=False)

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK, owner=OWNERS)
    def cancel(self, pick: int, owner: str) -> None:
        job = self.job(pick)
        whose = job.owner if pick % 4 else owner
        assert self.api.run(cancel(job.id, whose)) == self.jobs.cancel(job.id, whose, self.now)

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK, limits=KINDS)
    def retry(self, pick: int, limits: str) -> None:
        """The pictures that did not succeed wait again; or nothing is changed, and the answer says why."""
        ended = [job for job in self.jobs.jobs.values() if job.kept(self.now) and not job.open]
        job = ended[pick % len(ended)] if ended and pick % 4 else self.job(pick)
        self.try_again(job, limits_of(job.owner, limits))

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK)
    def end_twice(self, pick: int) -> None:
        """Canceled, tried again, and canceled."""
        job = self.job(pick)
        for _ in range(2):
            assert self.api.run(cancel(job.id, job.owner)) == self.jobs.cancel(job.id, job.owner, self.now)
            self.try_again(job, UNLIMITED)
        self.api.run(cancel(job.id, job.owner))
        self.jobs.cancel(job.id, job.owner, self.now)

    def try_again(self, job: Job, limits: Limits) -> None:
        spec = job.spec
        rest = [one for one in job.pictures if one.state != "ok"]
        away = [one.upload for one in rest if not self.jobs.stored(one.upload, self.now)]
        call = retry(spec, queue_limit=QUEUE_LIMIT, limits=limits)
        why: type[Exception] | None = None
        if not job.kept(self.now):
            why = JobNotFound
        elif job.open:
            why = JobNotFinished
        elif not rest:
            why = NothingToRetry
        if why:
            with pytest.raises(why):
                self.api.run(call)
            return
        if away:
            assert self.api.run(call) == away, "other bytes are gone"
            if not self.jobs.elsewhere.issuperset(away):
                return
            call = retry(spec, queue_limit=QUEUE_LIMIT, limits=limits, elsewhere=True)
        accepted = self.charged(job.owner, limits, call, self.refused(job.model, job.owner, len(rest), limits))
        if accepted is None:
            return
        deadline_ms = self.now + spec.deadline_s * 1000
        score = self.now - AGE_BOOST_MS[spec.priority]
        keep_ms = blob_ttl_s(spec) * 1000
        tokens = self.jobs.retry(job, score, deadline_ms, keep_ms, self.now)
        self.kept.prolong(job.owner, [one.upload for one in rest], self.now + keep_ms, self.now)
        assert not isinstance(accepted, list)
        assert accepted.tokens == tokens
        self.broker[job.model] += tokens

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK, owner=OWNERS)
    def delete(self, pick: int, owner: str) -> None:
        job = self.job(pick)
        whose = job.owner if pick % 4 else owner
        away = self.api.run(delete(job.id, whose))
        if self.jobs.kept(job.id, self.now, whose) is None:
            assert away is None
            return
        assert away is not None
        assert set(away) == self.jobs.delete(job, self.now)
        self.tell()
        self.outbox.drop(job.id, self.now)
        self.forget(job.id)
        self.deleted[job.id] = job

    @precondition(lambda self: self.jobs.dead)
    @rule(pick=PICK)
    def replay(self, pick: int) -> None:
        """A dead picture is taken in again as a new job, once for each time that it died."""
        dead = sorted(self.jobs.dead)
        self.replay_dead(*dead[pick % len(dead)])

    def replay_dead(self, id: str, index: int) -> None:
        found = self.api.run(dead_letter(id, index))
        old = self.jobs.kept(id, self.now)
        assert (found is not None) == (old is not None)
        if found is None or old is None or self.refused(old.model, old.owner, 1, UNLIMITED):
            return
        if not self.jobs.stored(old.pictures[index].upload, self.now):
            return  # api/routes/admin.py refuses it
        new, source = found
        assert new.id not in self.jobs.jobs, "a replay that is none"
        picture = old.pictures[index]
        copy = Picture(picture.upload, picture.digest)
        self.submit(new, [copy], with_bytes=False)
        assert self.api.run(take_off(id, index, source, new))
        picture.shared = copy.shared = True
        del self.jobs.dead[id, index]
        keep_ms = blob_ttl_s(new) * 1000
        self.jobs.keep_upload(picture.upload, self.now, keep_ms)
        self.kept.prolong(old.owner, [picture.upload], self.now + keep_ms, self.now)

"""Every change of a job's state, as calls on the store. Arguments are checked values; replies become plain types.

    queued --claim--> running --finish, crashed--> succeeded | failed
       |                 |
       `--- cancel, deadline --> canceled | expired          final states never change

A claim is a lease with a fence: the count of claims of that picture. Only the newest fence that still holds its lease
may write; a worker that was silent for longer than its lease writes nothing.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import Poison
from shared.keys import UNLIMITED, Limits
from shared.outbox import hook_text
from shared.recall import Recalled
from shared.refusals import refusal
from shared.reports import Description, WorkerReport
from shared.schema import Claim, JobSpec, ModelVersion, PictureResult, Priority, StoredSource
from shared.store import WORKER_TTL_MS, Call
from shared.views import read_source

MOST_TOKENS = 64
"""Tokens of a model on their way at once: a bulk job wakes that many threads at once, and the sweeper further ones."""
UPLOAD_KEEP_S = 30
KEYS_KEPT_S = 86_400
_NEVER_S = 10 * 365 * 86_400.0

AGE_BOOST_MS: dict[Priority, int] = {"high": 600_000, "normal": 0, "low": -600_000}
"""A job is queued as if it had come this much earlier: high overtakes ten minutes of normal work, and no more, so that
everything waiting gets its turn (ageing)."""


@dataclass(frozen=True)
class Swept:
    """What one sweep did; `more` says that it stopped at its bound."""

    requeued: int
    poisoned: int
    expired: int
    more: bool


@dataclass(frozen=True)
class Accepted:
    """A job was taken in: `tokens` to publish now, and how many more its owner may send at once (None: any number).

    `earlier`: nothing was taken in; this is the job that the same `Idempotent` made before.
    """

    tokens: int
    left: int | None = None
    earlier: str | None = None


@dataclass(frozen=True)
class Idempotent:
    """A client's own name for a request, unique for its owner, and what tells the same request from another."""

    key: str
    fingerprint: str


def accept(
    spec: JobSpec,
    sources: Sequence[StoredSource],
    *,
    queue_limit: int,
    blobs: Mapping[str, bytes] | None = None,
    limits: Limits = UNLIMITED,
    idempotent: Idempotent | None = None,
    loaded: bool = False,
    recalled: Recalled | None = None,
    blobs_kept_s: int | None = None,
    chosen: str = "",
) -> Call[Accepted]:
    """Take a job in, with the bytes of its uploads, or nothing of it; under one idempotency key only once. With
    `recalled` it has succeeded at once. The bytes live on as long as the job, or for `blobs_kept_s`.

    `loaded`: the uploads among the sources were stored by `shared/loading.py`, and from now on live as long as the job.
    `chosen`: the client chose the id, and this is its request's fingerprint; then an id makes one job.

    Raises (when run):
        RateLimited, QuotaExceeded: its owner is at one of the `limits`.
        QueueFull: `queue_limit` pictures of this model are waiting already.
        IdempotencyMismatch: the key was used for another request.
        JobIdTaken: the id is that of another owner's job, or of another request's.
    """
    blobs = blobs or {}
    doc = spec.model_dump_json(exclude_defaults=True)
    pairs = [part for blob, data in blobs.items() for part in (blob, data)]
    texts = [source.model_dump_json(exclude_none=True) for source in sources]

    answers = recalled.texts() if recalled else []
    same = (_digest(idempotent.key), idempotent.fingerprint, KEYS_KEPT_S) if idempotent else ("", chosen, 0)

    def read(reply: list[Any]) -> Accepted:
        if reply[0] == -6:
            return Accepted(0, earlier=reply[1].decode())
        if reply[0] < 0:
            raise refusal(spec, limits, *reply)
        return Accepted(reply[1], reply[2] if reply[2] >= 0 else None)

    return Call(
        "accept",
        (
            spec.id, doc, spec.model, spec.total, AGE_BOOST_MS[spec.priority], spec.deadline_s, spec.retain_s,
            queue_limit, hook_text(spec.webhook), MOST_TOKENS, spec.owner, limits.rate, limits.burst,
            limits.open_jobs, limits.waiting, *same, len(blobs), blobs_kept_s or blob_ttl_s(spec), int(loaded),
            int(chosen != ""), *pairs, *texts, *answers,
        ),
        read,
    )  # fmt: skip


def _digest(key: str) -> str:
    """Whatever a client calls its request, the name in the store is short and plain."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def claim(model: str, most: int, lease_s: float, *, first: bool = True) -> Call[list[Claim]]:
    """The next pictures of the first job waiting for `model`, leased; empty when nothing waits.

    `first`: the claim is the first one of a token, which is therefore no longer on its way.
    """

    def read(reply: list[Any]) -> list[Claim]:
        if not reply:
            return []
        spec = JobSpec.model_validate_json(reply[0])
        return [
            Claim.model_validate(
                {
                    "job": spec,
                    "index": index,
                    "source": read_source(source),
                    "fence": fence,
                    "attempts": attempts,
                    "created_ms": reply[1],
                    "claimed_ms": reply[2],
                    "wary": bool(reply[3]),
                    "data": data,
                }
            )
            for index, source, fence, attempts, data in reply[4:]
        ]

    return Call("claim", (model, most, int(lease_s * 1000), int(first)), read)


def beat(held: Iterable[Claim], lease_s: float) -> Call[set[tuple[str, int]]]:
    """Extend the leases; reads as those (job id, index) that are no longer held."""
    args = [part for one in held for part in (f"{one.job.id}/{one.index}", one.fence)]

    def read(reply: list[bytes]) -> set[tuple[str, int]]:
        return {(job, int(index)) for job, _, index in (member.decode().rpartition("/") for member in reply)}

    return Call("beat", (int(lease_s * 1000), *args), read)


def finish(
    held: Claim, result: PictureResult, by: ModelVersion, upload_keep_s: int = UPLOAD_KEEP_S
) -> Call[str | None]:
    """Commit one picture's outcome. Reads as the job's status now, or None when the fence was stale.

    The bytes of an upload in the store live on for `upload_keep_s` after it succeeded, those above 256 KiB shorter in
    proportion; after any other end as long as the job, for whoever tries it again.
    """
    kind = "ok" if result.status == "succeeded" else "bad"
    text = result.model_dump_json(exclude_none=True)
    args = (held.job.id, held.index, held.fence, text, kind, by.model_dump_json(), upload_keep_s)
    return Call("finish", args, lambda reply: reply.decode() or None)


def hand_back(held: Iterable[Claim]) -> Call[int]:
    """Give back claims that were not begun; no attempt is counted. Reads as how many were still held."""
    args = [part for one in held for part in (one.job.id, one.index, one.fence)]
    return Call("hand_back", tuple(args), int)


def crashed(held: Claim, why: str, max_attempts: int) -> Call[str | None]:
    """The child process that decoded this picture ended over it; `why` reads as the end of a sentence.

    Reads as `again` (it waits once more), the job's status now (its last attempt: it failed as `poison` and is in the
    dead-letter list), or None when the fence was stale.
    """
    args = (held.job.id, held.index, held.fence, max_attempts, Poison.title, why)
    return Call("crashed", args, lambda reply: reply.decode() or None)


def beware() -> Call[int]:
    """A worker died: for a minute every claim says so, and workers decode in child processes."""
    return Call("beware", (), int)


def cancel(job_id: str, owner: str = "") -> Call[str]:
    """Reads as `ended` (canceled now), the final status that it already had, or '' when `owner` has no such job."""
    return Call("cancel", (job_id, owner), lambda reply: reply.decode())


def sweep(*, most: int, max_attempts: int, grace_s: float = 0.0, patience_s: float = math.inf) -> Call[Swept]:
    """Take back what dead workers held, end what is too late, forget what is past its retention.

    Where the sweep before this one was more than `patience_s` ago, nobody could reach the store: then nothing is taken
    back for `grace_s`, in which live workers renew their leases.
    """
    away = (int(grace_s * 1000), int(min(patience_s, _NEVER_S) * 1000))
    args = (most, max_attempts, Poison.title, "its worker stopped.", WORKER_TTL_MS, *away)
    return Call("sweep", args, lambda reply: Swept(reply[0], reply[1], reply[2], bool(reply[3])))


def top_up(model: str, seen: int) -> Call[int]:
    """Correct the count of tokens on their way to those `seen` in the broker. Reads as the tokens to publish."""
    return Call("top_up", (model, seen, MOST_TOKENS), int)


def give_way(model: str, *, always: bool = False) -> Call[bool]:
    """Where tokens of other models or webhooks wait for a thread, announce one more token of this model on
    its way: that of a thread which ends while work may be left. Reads as whether it shall end; `always`: in any case.
    """
    return Call("give_way", (model, int(always)), bool)


def linger(model: str, wait_s: float) -> Call[bool]:
    """A thread that found nothing is about to wait (`JobStore.await_wake`). Reads as whether it may; not where pictures
    of the model wait after all, or somebody else waits for a thread.
    """
    return Call("linger", (model, secrets.token_hex(4), int(wait_s * 1000)), bool)


def announce(report: WorkerReport, new: Iterable[Description] = ()) -> Call[list[str]]:
    """A live worker says what it serves; after `WORKER_TTL_MS` of silence it counts as gone.

    Descriptions can be large (YOLO9000 has 9,418 labels): only those that are new come along. Reads as the references
    of the loaded versions that the store has no description of.
    """
    served = [part for model in report.models for part in (model.name, model.model_dump_json())]
    loaded = [reference for model in report.models for reference in model.references]
    told = [part for one in new for part in (one.reference, one.model_dump_json())]
    counted: tuple[str | int, ...] = (len(report.models), *served, len(loaded), *loaded, *told)
    return Call(
        "announce", (report.worker, report.model_dump_json(), *counted), lambda reply: [text.decode() for text in reply]
    )


def forget(references: Iterable[str], names: Iterable[str] = ()) -> Call[int]:
    """One worker has these versions, and these models as a whole, no more; whoever has them announces them again."""
    gone = tuple(references)
    return Call("forget", (len(gone), *gone, *names), int)


def withdraw(worker: str) -> Call[int]:
    """A worker that stops is gone at once."""
    return Call("withdraw", (worker,), int)


def lock_sweep(holder: str, ttl_s: float) -> Call[bool]:
    """Whether `holder` may sweep for the next `ttl_s`: one process at a time does."""
    return Call("lock_sweep", (holder, max(1, int(ttl_s * 1000))), bool)


def blob_ttl_s(spec: JobSpec) -> int:
    """A stored picture outlives its job's deadline and retention by a minute, whatever becomes of the job."""
    return spec.deadline_s + spec.retain_s + 60

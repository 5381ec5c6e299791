"""What a request of the API fuzz may name: an owner with its keys, jobs in every state, a delivery, a dead picture.

In: a running service and its store. Out: values for the parameters of paths. What must stay as it is although a worker
runs (waiting, in hand, dead) belongs to a model that nobody serves, and is put into the store by the steps themselves.
"""

from __future__ import annotations

import base64
import io
import struct
import time
import zipfile
import zlib
from dataclasses import dataclass
from random import Random

import httpx

from shared.ids import job_id
from shared.keys import KeyRecord, Scope, add_key, digest, key_id, new_key
from shared.schema import JobSpec, Options, UrlSource
from shared.steps import accept, cancel, claim, crashed
from shared.store import JobStore

FORBIDDEN = "https://127.0.0.1/"
"""Refused without a connection."""
READ_TO_END = ("succeeded", "failed", "canceled", "dead")
"""Jobs that have ended: their streams end, too."""
LEASE_S = 600.0


def png(side: int = 8) -> bytes:
    """A grey picture, as small as a real one can be."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x80" * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in body)


def zipped() -> bytes:
    """Two pictures in an archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, png())
    return held.getvalue()


PICTURE = base64.b64encode(png()).decode()


def make_key(store: JobStore, owner: str, *scopes: Scope) -> str:
    """A key of an owner who has fewer than two."""
    key = new_key()
    record = KeyRecord(
        id=key_id(key) or "", owner=owner, scopes=scopes, digest=digest(key), created_ms=time.time_ns() // 1_000_000
    )
    assert store.run(add_key(record))
    return key


@dataclass(frozen=True)
class Stage:
    """One owner and what it has.

    Attributes:
        key: may do everything.
        jobs: by the state that they are in: see `set_stage`.
        delivery: of the failed job's webhook.
        upload: a picture that is kept.
    """

    key: str
    model: str
    jobs: dict[str, str]
    delivery: str
    upload: str

    def parameters(self, random: Random, *, ended: bool) -> dict[str, str]:
        """A value for each parameter of a path that the document has, all of things that are there.

        `ended`: of jobs that have ended only.
        """
        states = [state for state in self.jobs if state in READ_TO_END or not ended]
        return {
            "job": self.jobs[random.choice(states)],
            "index": "0",
            "delivery": self.delivery,
            "upload": self.upload,
            "name": self.model,
            "model": self.model,
            "project": self.model,
            "version": "1",
            "label": "1",
            "alias": "fuzzed",
        }


def set_stage(base_url: str, api: JobStore, worker: JobStore, owner: str, model: str) -> Stage:
    """Make an owner and its jobs: succeeded (with an annotated picture), failed (with a delivery), queued, running,
    canceled and dead.

    Args:
        api, worker: the store, with the rights of these two.
        model: one that a worker serves.

    Raises RuntimeError: the service does not take them, or does not end them in time.
    """
    key, ghost = make_key(api, owner, "admin"), f"ghost-{owner}"
    jobs = {}
    for state in ("dead", "running", "canceled", "queued"):  # one after the other: a claim takes what waits
        jobs[state] = _waiting(api, owner, ghost)
        if state in ("dead", "running"):
            (held,) = worker.run(claim(ghost, 1, LEASE_S))
            if state == "dead":
                worker.run(crashed(held, "it ended", max_attempts=1))
        if state == "canceled":
            api.run(cancel(jobs[state], owner))
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        for state, image in (("succeeded", {"base64": PICTURE}), ("failed", {"url": FORBIDDEN})):
            asked = {"image": image, "model": model, "options": {"draw": True}, "webhook": {"url": FORBIDDEN}}
            job = client.post("/jobs", json=asked, headers={"Prefer": "wait=20"}).json()
            if job.get("status") != state:
                raise RuntimeError(f"a job that was to have {state} is {job}")
            jobs[state] = job["id"]
        sent = client.post("/uploads", content=png(), headers={"Content-Type": "image/png"}).json()
        (delivery, *_) = client.get(f"/jobs/{jobs['failed']}/deliveries").json()["deliveries"]
    return Stage(key, model, jobs, delivery["id"], sent["id"])


def _waiting(store: JobStore, owner: str, model: str) -> str:
    spec = JobSpec(
        id=job_id(), owner=owner, model=model, options=Options(), priority="normal", total=1, deadline_s=3600,
        retain_s=3600,
    )  # fmt: skip
    store.run(accept(spec, [UrlSource(url=FORBIDDEN)], queue_limit=1_000_000))
    return spec.id

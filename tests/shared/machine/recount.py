"""Whether the store holds what the reference says: every index, counter and lifetime, counted anew from the jobs.

In come the whole content of the store at a moment and the reference; out goes nothing, or an AssertionError that says
which law is broken. Looks past the scripts, at the keys themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from shared.outbox import KEPT_S
from tests.shared.machine.own_clock import Content
from tests.shared.machine.reference_hooks import AT_ONCE_IN_TROUBLE, Outbox
from tests.shared.machine.reference_jobs import MAX_ATTEMPTS, Reference
from tests.shared.machine.reference_records import Job
from tests.shared.machine.reference_uploads import KeptUploads


def recount(held: Content, jobs: Reference, outbox: Outbox, kept: KeptUploads, now_ms: int) -> None:
    """All laws at once."""
    for job in jobs.jobs.values():
        if jobs.kept(job.id, now_ms):
            _record(held, job)
        else:
            assert f"job:{job.id}" not in held.hashes, "a job outlives its retention"
    assert held.named("job") <= jobs.jobs.keys(), "a job that nobody sent"
    _indexes(held, jobs, now_ms)
    _queues(held, jobs)
    _counters(held, jobs, outbox, now_ms)
    _uploads(held, jobs, now_ms)
    _kept_uploads(held, kept, now_ms)
    _notes(held, jobs, now_ms)
    _webhooks(held, outbox, now_ms)
    keys = {f"idem:{owner}:{sha256(key.encode()).hexdigest()[:32]}": made for (owner, key), made in jobs.keys.items()}
    assert {f"idem:{name}" for name in held.named("idem")} == {key for key, made in keys.items() if now_ms <= made[2]}


def _record(held: Content, job: Job) -> None:
    """An accepted job is there, in the state that it has to be in, and stays for its retention."""
    key = f"job:{job.id}"
    assert key in held.hashes, "an accepted job disappeared"
    fields = held.hashes[key]
    assert fields["status"] == job.status, "a job is in another state"
    ends = None if job.ended_ms is None else job.ended_ms + job.retain_ms
    assert held.ends.get(key) == ends, "a job is kept for another time"
    counted = {"run": "held", "ok": "ok", "bad": "bad", "gone": "gone"}
    assert {name: int(fields[name]) for name in counted} == {name: job.count(state) for name, state in counted.items()}
    if job.open:
        assert held.lists.get(f"todo:{job.id}", [])[::-1] == [str(index) for index in job.returned]
        assert int(fields["ret"]) == len(job.returned)
    else:
        assert f"todo:{job.id}" not in held.lists
    assert (int(fields["next"]), "started" in fields) == (job.begun, job.started)
    if len(job.pictures) > 1:
        order = ["-" if index is None else str(index) for index in job.order]
        assert held.lists.get(f"done:{job.id}", []) == order, "another order of results"
        if job.order:
            assert held.ends.get(f"done:{job.id}") == ends
    for index, picture in enumerate(job.pictures):
        assert int(fields.get(f"a{index}", 0)) == picture.claims, "another fence"
        assert int(fields.get(f"h{index}", 0)) == picture.no_attempts
        assert picture.attempts <= MAX_ATTEMPTS, "more attempts than are allowed"
        results = {"ok": '"status":"succeeded"', "bad": '"status":"failed"'}
        result = fields.get(f"r{index}")
        assert (result is not None) == (picture.state in results), "a result without its picture, or the reverse"
        assert result is None or results[picture.state] in result, "another result"


def _indexes(held: Content, jobs: Reference, now_ms: int) -> None:
    open_jobs = jobs.open_jobs()
    leases = {
        f"{job.id}/{index}": picture.lease_ms
        for job in open_jobs
        for index, picture in enumerate(job.pictures)
        if picture.state == "held"
    }
    assert held.zset("leases") == leases, "leases of other pictures than those in hand"
    assert held.zset("deadlines") == {job.id: job.deadline_ms for job in open_jobs}
    for job in jobs.jobs.values():
        if jobs.kept(job.id, now_ms):
            ends = None if job.ended_ms is None else job.ended_ms + job.retain_ms
            assert held.zset(f"jobs:{job.owner}").get(job.id) == job.created_ms, "a job is in no list"
            assert held.zset("expiry").get(f"{job.owner}/{job.id}") == ends, "a list forgets a job at another time"
    dead = {f"{id}/{index}": at for (id, index), at in jobs.dead.items() if jobs.kept(id, now_ms)}
    assert {member: at for member, at in held.zset("dead").items() if _is_there(member, jobs, now_ms)} == dead


def _is_there(member: str, jobs: Reference, now_ms: int) -> bool:
    """Whether an entry names a picture of a job that is kept; others go with a sweep."""
    id, _, index = member.rpartition("/")
    job = jobs.kept(id, now_ms)
    return job is not None and int(index) < len(job.pictures)


def _queues(held: Content, jobs: Reference) -> None:
    queues: dict[str, dict[str, int]] = {}
    for job in jobs.open_jobs():
        if job.waiting:
            queues.setdefault(f"{job.model}:{job.owner}", {})[job.id] = job.score
            turn = held.zset(f"turns:{job.model}").get(job.owner)
            assert turn == jobs.turns.served[job.model, job.owner], "an owner's turn comes at another time"
    assert {name: held.zset(f"queue:{name}") for name in held.named("queue")} == queues


def _counters(held: Content, jobs: Reference, outbox: Outbox, now_ms: int) -> None:
    for model in ("m", "n"):
        assert int(held.hash("pending").get(model, 0)) == jobs.waiting(model=model), "another count of what waits"
        assert int(held.hash("tokens").get(model, 0)) == jobs.tokens.on_way[model], "another count of tokens"
        assert len(held.lists.get(f"wake:{model}", [])) == jobs.tokens.awake(model, now_ms)
    for owner in {job.owner for job in jobs.jobs.values()}:
        fields = held.hash(f"owner:{owner}")
        assert int(fields.get("open", 0)) == len(jobs.open_jobs(owner=owner)), "another count of an owner's open jobs"
        assert int(fields.get("waiting", 0)) == jobs.waiting(owner=owner), "another count of an owner's pictures"
    done = {name: int(count) for name, count in held.hash("stats").items()}
    assert done == dict(jobs.done + outbox.over), "other statistics"
    assert ("wary" in held.strings) == (now_ms <= jobs.wary_ms)


def _uploads(held: Content, jobs: Reference, now_ms: int) -> None:
    kept = {f"blob:{name}": end for name, end in jobs.uploads.items() if now_ms <= end}
    found = {key: held.ends[key] for key in held.strings if key.startswith("blob:")}
    assert found == kept, "uploads live for another time"
    for job in jobs.open_jobs():
        if now_ms <= job.deadline_ms:
            needed = {one.upload for one in job.pictures if one.state in ("waits", "held")}
            needed -= jobs.deleted | jobs.elsewhere
            assert needed <= {name.removeprefix("blob:") for name in kept}, "a picture to be detected is gone"


def _kept_uploads(held: Content, kept: KeptUploads, now_ms: int) -> None:
    """Each owner's list, and the bytes that count against its bound: of what is listed, no more and no less."""
    for owner in {one.owner for one in kept.all.values()}:
        listed = held.zset(f"kept:{owner}")
        there = {one.name: one.ends_ms for one in kept.of(owner, now_ms)}
        assert {name: end for name, end in listed.items() if end > now_ms} == there, "kept for another time"
        sizes = {name: int(size) for name, size in held.hash(f"sizes:{owner}").items()}
        counted = sizes.pop("", 0)
        assert sizes == {name: kept.all[name].size for name in listed}
        assert counted == sum(kept.all[name].counted for name in listed), "another count of an owner's bytes"
    assert held.named("kept") <= {one.owner for one in kept.all.values()}


def _notes(held: Content, jobs: Reference, now_ms: int) -> None:
    notes = {
        f"note:{owner}:{model}@1:{digest}": (f"{id}/{index}", end)
        for (owner, model, digest), (id, index, end) in jobs.notes.items()
        if now_ms <= end
    }
    found = {key: (text, held.ends[key]) for key, text in held.strings.items() if key.startswith("note:")}
    assert found == notes, "other notes of earlier results"


def _webhooks(held: Content, outbox: Outbox, now_ms: int) -> None:
    """What is pending stands in the line of its endpoint and nowhere else; what is over stands in none."""
    lines: dict[str, dict[str, int]] = {}
    taken: dict[str, set[str]] = {}
    for one in outbox.deliveries.values():
        fields = held.hash(f"hook:{one.name}")
        if not one.kept(now_ms):
            assert not fields, "a delivery is kept for too long"
            continue
        told = (fields["state"], int(fields["round"]), int(fields["tries"]), int(fields["made"]))
        assert told == (one.state, one.era + one.round, one.tries, one.made), "a delivery is in another state"
        assert held.ends.get(f"hook:{one.name}") == (None if one.over_ms is None else one.over_ms + KEPT_S * 1000)
        if one.state == "pending":
            lines.setdefault(one.endpoint, {})[one.name] = one.due_ms
            if one.hand_ms > now_ms:
                taken.setdefault(one.endpoint, set()).add(one.name)
    assert held.named("hook") <= outbox.deliveries.keys(), "a delivery of no event"
    for key, lists in (("deliveries", outbox.log), ("undelivered", outbox.missing)):
        expected = {owner: names for owner, listed in lists.items() if (names := listed.at(now_ms))}
        assert {owner: held.zset(f"{key}:{owner}") for owner in held.named(key)} == expected, f"other {key} are listed"
    assert {name: held.zset(f"hooks:{name}") for name in held.named("hooks")} == lines, "a webhook in another line"
    hands = {
        name: {one for one, end in held.zset(f"taken:{name}").items() if end > now_ms} for name in held.named("taken")
    }
    assert {name: there for name, there in hands.items() if there} == taken, "other webhooks in hand"
    looked_at = held.zset("hooks")
    assert looked_at.keys() == lines.keys(), "an endpoint that nobody looks at"
    for endpoint, line in lines.items():
        free = len(taken.get(endpoint, ())) < AT_ONCE_IN_TROUBLE
        if free and any(due <= now_ms for due in line.values()):
            assert looked_at[endpoint] <= now_ms, "a webhook is due at an endpoint that nobody looks at yet"


def nothing_names(held: Content, gone: Mapping[str, Job]) -> None:
    """No key, and nothing that a key holds, names one of these jobs.

    What an earlier job of such an id left at the end of its retention is no matter of the delete: idempotency keys
    live for a day; entries in lists of another owner, or of pictures that only the earlier job had, go with a sweep.
    """
    for id, job in gone.items():
        listed = held.zset(f"jobs:{job.owner}").keys() | held.zset("expiry").keys() | held.zset("dead").keys()
        own = {id, f"{job.owner}/{id}", *(f"{id}/{index}" for index in range(len(job.pictures)))}
        assert not own & listed, "a list names a job that was deleted"
    keys = held.keys()
    beside = {"expiry", "dead"} | {key for key in keys if key.startswith(("idem:", "jobs:", "blob:"))}
    for key in sorted(keys - beside):
        text = f"{key} {held.hash(key)} {held.zset(key)} {held.lists.get(key)} {held.strings.get(key)}"
        assert not [id for id in gone if id in text], f"{key} names a job that was deleted"


def nothing_left(held: Content) -> None:
    """After every retention and a sweep nothing of a job is left: neither a key nor a member of one."""
    for key in held.keys() - {"pending", "tokens", "stats", "swept"}:
        assert key.partition(":")[0] in ("owner", "turns", "served"), f"{key} is left of jobs that are gone"

"""The dead-letter list in the store: what it shows, and what a replay leaves."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from shared.dead import DeadLetter, dead_letter, dead_letters, take_off
from shared.lifecycle import delete
from shared.schema import DEFAULT_OWNER, Options, StoredSource, UploadSource, UrlSource
from shared.steps import accept, claim, crashed
from shared.store import PREFIX, JobStore
from shared.views import view
from tests.shared.store_samples import spec, swept


def killed(store: JobStore, source: StoredSource, **changes: Any) -> str:
    """A job whose only picture was given up."""
    job = spec(**changes)
    store.run(accept(job, [source], queue_limit=100, blobs={"upl_" + "0" * 20: b"bytes"}))
    (held,) = store.run(claim("m", 1, 30))
    assert store.run(crashed(held, "a reason.", 1)) == "failed"
    return job.id


def listed(store: JobStore, count: int = 100) -> list[DeadLetter]:
    return [letter for _, letter in store.run(dead_letters(before=None, count=count))]


def test_an_entry_says_what_happened_and_keeps_the_address_to_itself(store: JobStore, client: redis.Redis) -> None:
    job = killed(store, UrlSource(url="https://example.com/a.jpg?signature=hunter2", id="mine"))
    (letter,) = listed(store)
    assert (letter.job, letter.index, letter.id, letter.source, letter.model) == (job, 0, "mine", "url", "m")
    assert letter.attempts == 1
    assert letter.reason == "Given up after 1 attempts; the last: a reason."
    died_ms = client.zscore(PREFIX + "dead", f"{job}/0")
    assert died_ms is not None
    assert letter.died_at.startswith("20")
    assert "hunter2" not in letter.model_dump_json()


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_pages_cover_everything_once_newest_first(store: JobStore, client: redis.Redis, size: int) -> None:
    jobs = [killed(store, UrlSource(url="https://example.com/a.jpg")) for _ in range(7)]
    for at, job in enumerate(jobs):  # several of one millisecond
        client.zadd(PREFIX + "dead", {f"{job}/0": 1_700_000_000_000 + at // 3})
    found: list[tuple[int, DeadLetter]] = []
    while rows := store.run(
        dead_letters(before=(found[-1][0], found[-1][1].job, found[-1][1].index) if found else None, count=size)
    ):
        assert len(rows) <= size
        found += rows
    assert sorted(letter.job for _, letter in found) == sorted(jobs)
    assert [died for died, _ in found] == sorted((died for died, _ in found), reverse=True)


def test_an_entry_lives_as_long_as_its_job(store: JobStore, client: redis.Redis) -> None:
    gone, kept = (killed(store, UrlSource(url="https://example.com/a.jpg")) for _ in range(2))
    client.delete(PREFIX + "job:" + gone)
    assert [letter.job for letter in listed(store)] == [kept]
    assert store.run(dead_letter(gone, 0)) is None
    swept(store)
    assert client.zrange(PREFIX + "dead", 0, -1) == [f"{kept}/0".encode()]


def test_a_deleted_job_takes_its_entry_along(store: JobStore, client: redis.Redis) -> None:
    gone, kept = (killed(store, UrlSource(url="https://example.com/a.jpg")) for _ in range(2))
    assert store.run(delete(gone, DEFAULT_OWNER)) is not None
    assert client.zrange(PREFIX + "dead", 0, -1) == [f"{kept}/0".encode()]


def test_a_replay_is_one_new_job_however_often_it_is_begun(store: JobStore, client: redis.Redis) -> None:
    source = UploadSource(upload="upl_" + "0" * 20, id="mine")
    job = killed(store, source, options=Options(threshold=0.3), metadata={"camera": "7"}, retain_s=50, deadline_s=100)
    client.expire(PREFIX + "blob:" + source.upload, 20)
    assert store.run(dead_letter(job, 1)) is None
    for _ in range(2):
        found = store.run(dead_letter(job, 0))
        assert found is not None
        new, came = found
        assert came == source
        store.run(accept(new, [came], queue_limit=100))
    assert store.run(take_off(job, 0, source, new))
    assert not store.run(take_off(job, 0, source, new))
    assert listed(store) == []
    (held,) = store.run(claim("m", 16, 30))
    assert (held.job.id, held.source, held.attempts) == (new.id, source, 1)
    assert (held.job.options, held.job.metadata) == (Options(threshold=0.3), {"camera": "7"})
    assert store.run(claim("m", 16, 30)) == []
    assert client.ttl(PREFIX + "blob:" + source.upload) == 210
    (before,) = store.run(view([job], inline_results=1))
    assert before is not None
    assert before.view.status == "failed", "a final state changed"

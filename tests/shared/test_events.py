"""The order of what happened to a job: what a listener gets from any place on, and what of it the store remembers."""

from __future__ import annotations

import pytest
import redis

from shared.events import START, News, Position, news
from shared.schema import PictureResult
from shared.steps import cancel, finish, hand_back
from shared.store import PREFIX, JobStore
from tests.shared.store_samples import BY, accepting, bad, good, lose_leases, seen, spec, swept, take


def heard(store: JobStore, job: str, since: Position = START, **bounds: int) -> News:
    (found,) = store.run(news([(job, since)], **bounds))
    assert found is not None
    return found


def names(told: News) -> list[str]:
    return [event.name for event in told.events]


def ids(told: News) -> list[str]:
    return [str(event.id) for event in told.events]


def test_a_job_of_one_picture_from_its_start_to_its_end(store: JobStore) -> None:
    job = spec()
    store.run(accepting(job))
    first = heard(store, job.id)
    assert (names(first), ids(first), first.ended, first.owner) == (["queued"], ["0-0-q"], False, "default")
    (held,) = take(store)
    second = heard(store, job.id, first.position)
    assert (names(second), ids(second), second.ended) == (["running"], ["0-0-r"], False)
    store.run(finish(held, good(), BY))
    last = heard(store, job.id, second.position)
    assert (names(last), ids(last)) == (["picture", "succeeded"], ["0-1-r", "0-1-e"])
    assert last.ended
    assert not last.more
    assert last.events[0].data == good()
    view = seen(store, job.id).view
    times = [event.data.model_dump()["at"] for event in (first.events[0], second.events[0], last.events[1])]
    assert times == [view.queued_at, view.started_at, view.finished_at]
    assert last.events[1].data.model_dump()["counts"] == view.counts.model_dump()
    nothing = heard(store, job.id, last.position)
    assert (nothing.events, nothing.ended, nothing.position) == ((), True, last.position)


def test_pictures_come_in_the_order_of_their_results(store: JobStore) -> None:
    job = spec(24)
    store.run(accepting(job))
    claims = [one for _ in range(3) for one in take(store, 3)]
    for held in reversed(claims):
        store.run(finish(held, bad(held.index) if held.index % 2 else good(held.index), BY))
    told = heard(store, job.id)
    pictures = [event.data for event in told.events if isinstance(event.data, PictureResult)]
    assert [one.index for one in pictures] == [held.index for held in reversed(claims)]
    assert pictures[0] == good(8)
    assert pictures[1].error == bad(7).error
    assert not told.ended


@pytest.mark.parametrize("bounds", [{"most": 3}, {"most_bytes": 1}])
def test_every_id_is_a_place_to_go_on_from(store: JobStore, bounds: dict[str, int]) -> None:
    job = spec(7)
    store.run(accepting(job))
    while claims := take(store):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    whole = heard(store, job.id)
    assert names(whole) == ["queued", "running", *["picture"] * 7, "succeeded"]
    for at, event in enumerate(whole.events):
        rest, since = list[str](), Position.read(str(event.id))
        while True:
            part = heard(store, job.id, since or START, **bounds)
            rest += ids(part)
            since = part.position
            if part.ended:
                break
            assert part.more
        assert rest == ids(whole)[at + 1 :]


def test_the_bytes_of_one_look_are_shared_by_its_jobs_and_none_starves(store: JobStore) -> None:
    jobs = [spec(4), spec(4)]
    for job in jobs:
        store.run(accepting(job))
    while claims := take(store):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    size = len(good(0).model_dump_json(exclude_none=True))
    first, second = store.run(news([(job.id, START) for job in jobs], most_bytes=2 * size))
    assert first is not None
    assert second is not None
    assert (names(first), names(second)) == (["queued", "running", *["picture"] * 2], ["queued", "running", "picture"])
    assert first.more
    assert second.more


def test_canceled_and_expired_have_no_pictures_of_what_never_ran(store: JobStore, client: redis.Redis) -> None:
    gone, late = spec(3), spec(2)
    store.run(accepting(gone))
    store.run(cancel(gone.id))
    told = heard(store, gone.id)
    assert names(told) == ["queued", "canceled"]
    assert told.events[1].data.model_dump()["counts"]["canceled"] == 3
    store.run(accepting(late))
    held, *_ = take(store, 1)
    store.run(finish(held, good(held.index), BY))
    client.zadd(PREFIX + "deadlines", {late.id: 1})
    swept(store)
    told = heard(store, late.id)
    assert names(told) == ["queued", "running", "picture", "expired"]
    assert told.events[-1].data.model_dump()["counts"]["expired"] == 1


def test_a_picture_that_goes_back_and_one_that_is_poison(store: JobStore, client: redis.Redis) -> None:
    job = spec(2)
    store.run(accepting(job))
    back, *_ = take(store, 1)
    store.run(hand_back([back]))
    assert names(heard(store, job.id)) == ["queued", "running"], "still running: it was taken once"
    assert take(store, 1)[0].index == back.index
    lose_leases(client)
    swept(store, attempts=1)
    told = heard(store, job.id)
    assert names(told) == ["queued", "running", "picture"]
    assert told.events[-1].data.model_dump()["error"]["code"] == "poison"


@pytest.mark.parametrize("ahead", ["5-0-q", "0-3-r", "999999999-999999999-e"])
@pytest.mark.parametrize("total", [1, 2])
def test_a_place_that_the_job_never_had_is_the_start(store: JobStore, ahead: str, total: int) -> None:
    job = spec(total)
    store.run(accepting(job))
    while claims := take(store):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    since = Position.read(ahead)
    assert since is not None
    told = heard(store, job.id, since)
    assert names(told) == ["queued", "running", *["picture"] * total, "succeeded"]


@pytest.mark.parametrize("total", [1, 3])
def test_a_job_that_is_tried_again_goes_on_in_the_next_round(store: JobStore, client: redis.Redis, total: int) -> None:
    """The store's part of a retry, done by hand: results taken back, one round more, `started` away."""
    job = spec(total)
    store.run(accepting(job))
    while claims := take(store):
        for held in claims:
            store.run(finish(held, bad(held.index), BY))
    ended = heard(store, job.id)
    assert names(ended)[-1] == "failed"
    key = f"{PREFIX}job:{job.id}"
    client.hdel(key, "started", "finished", *[f"r{k}" for k in range(total)])
    client.hset(key, mapping={"status": "queued", "round": 1})
    again = heard(store, job.id, ended.position)
    assert (names(again), again.position.round, again.ended) == (["queued"], 1, False)
    client.hset(key, mapping={"status": "running", "started": 1})
    running = heard(store, job.id, again.position)
    assert names(running) == ["running"]
    client.hset(key, "r0", good(0).model_dump_json())
    if total > 1:
        client.rpush(f"{PREFIX}done:{job.id}", 0)
    assert [event.data for event in heard(store, job.id, running.position).events] == [good(0)]
    from_the_start = heard(store, job.id)
    assert names(from_the_start)[:2] == ["queued", "running"]
    assert {event.data for event in from_the_start.events if event.name == "picture"} == {good(0)}


def test_what_is_not_there_and_the_order_goes_with_its_job(store: JobStore, client: redis.Redis) -> None:
    assert store.run(news([("job_nothing", START)])) == [None]
    job = spec(2, retain_s=77)
    store.run(accepting(job))
    while claims := take(store):
        for held in claims:
            store.run(finish(held, good(held.index), BY))
    assert client.ttl(f"{PREFIX}done:{job.id}") == client.ttl(f"{PREFIX}job:{job.id}") == 77
    single = spec()
    store.run(accepting(single))
    store.run(finish(take(store)[0], good(), BY))
    assert not client.exists(f"{PREFIX}done:{single.id}"), "one picture needs no list"


@pytest.mark.parametrize(
    "text", ["", "1", "0-0", "0-0-x", "0-0--", "-1-0-q", "0-0-q\n", "٣-0-q", "0-1234567890-r", "0-0-q "]
)
def test_what_is_no_id(text: str) -> None:
    assert Position.read(text) is None


def test_an_id_reads_as_it_was_written() -> None:
    for position in (Position(0, 0, "q"), Position(3, 10_000, "r"), Position(1, 7, "e")):
        assert Position.read(str(position)) == position

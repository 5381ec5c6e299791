"""Aliases set over HTTP, in the store: editions grow, the later change holds, and nothing but names comes out."""

from __future__ import annotations

import time

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import assignments as module
from shared.assignments import NOTHING_ASSIGNED, assign, assignments, drop
from shared.connection import connect
from shared.errors import StoreUnavailable, TooManyAliases
from shared.store import PREFIX, JobStore
from tests.roles import as_role

KEY = PREFIX + "aliases"


def test_nothing_is_set_at_first(store: JobStore) -> None:
    assert store.run(assignments()) == NOTHING_ASSIGNED
    assert store.run(drop("m", "stable")) is None
    assert store.run(assignments()).edition == 0


def test_the_later_change_holds_and_editions_grow(store: JobStore) -> None:
    before = time.time_ns() // 1_000_000
    editions = [store.run(assign("m", "stable", version, by)) for version, by in (("1", "a"), ("2", "b"), ("1", "c"))]
    editions.append(store.run(assign("m", "default", "2", "a")))
    assert before <= editions[0] < editions[1] < editions[2] < editions[3] <= time.time_ns() // 1_000_000 + 5
    seen = store.run(assignments())
    assert (seen.edition, seen.versions("m"), seen.versions("n")) == (editions[3], {"stable": "1", "default": "2"}, {})
    one = seen.find("m", "stable")
    assert one is not None
    assert (one.edition, one.by) == (editions[2], "c")


def test_the_same_once_more_changes_nothing(store: JobStore) -> None:
    first = store.run(assign("m", "stable", "1", "a"))
    seen = store.run(assignments())
    assert store.run(assign("m", "stable", "1", "b")) == first
    assert store.run(assignments(seen)) is seen, "and who knows it is told nothing again"


def test_what_is_dropped_is_gone_and_that_is_a_change(store: JobStore) -> None:
    first = store.run(assign("m", "stable", "1", "a"))
    seen = store.run(assignments())
    second = store.run(drop("m", "stable"))
    assert second is not None
    assert second > first
    assert store.run(drop("m", "stable")) is None
    now = store.run(assignments(seen))
    assert (now.edition, now.of) == (second, {})
    third = store.run(assign("m", "stable", "1", "a"))
    assert third > second


def test_a_clock_that_was_set_back_makes_no_older_edition(store: JobStore, client: redis.Redis) -> None:
    ahead = 9_000_000_000_000
    client.hset(KEY, "", str(ahead))
    assert [store.run(assign("m", alias, "1", "a")) for alias in ("a", "b")] == [ahead + 1, ahead + 2]


def test_a_store_that_lost_its_memory_is_believed(store: JobStore, client: redis.Redis) -> None:
    store.run(assign("m", "stable", "1", "a"))
    seen = store.run(assignments())
    client.flushall()
    assert store.run(assignments(seen)) == NOTHING_ASSIGNED


def test_there_is_a_bound(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASSIGNED", 2)
    for alias in ("a", "b"):
        store.run(assign("m", alias, "1", "o"))
    with pytest.raises(TooManyAliases, match="DELETE"):
        store.run(assign("m", "c", "1", "o"))
    store.run(assign("m", "b", "2", "o"))
    store.run(drop("m", "a"))
    store.run(assign("m", "c", "1", "o"))
    assert store.run(assignments()).versions("m") == {"b": "2", "c": "1"}


STEPS = st.lists(st.tuples(st.sampled_from(["m", "n"]), st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", None])))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_store_means_what_a_dictionary_means(
    store: JobStore, client: redis.Redis, steps: list[tuple[str, str, str | None]]
) -> None:
    client.flushall()
    means: dict[tuple[str, str], tuple[str, int]] = {}
    last, known = 0, NOTHING_ASSIGNED
    for model, alias, version in steps:
        before = means.get((model, alias))
        edition = store.run(drop(model, alias)) if version is None else store.run(assign(model, alias, version, "o"))
        if version is None:
            assert (edition is None) == (means.pop((model, alias), None) is None)
        elif before and before[0] == version:
            assert edition == before[1]
        else:
            assert edition is not None
            means[model, alias] = (version, edition)
        if (before and before[0]) != version:
            assert edition is not None
            assert edition > last, "a change is later than every one before it"
            last = edition
        told = store.run(assignments(known))
        assert (told is known) == (told.edition == known.edition)
        known = told
        assert known.edition == last
        seen = {(one.model, one.alias): (one.version, one.edition) for of in known.of.values() for one in of.values()}
        assert seen == means


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("../m@stable", "1 1 o"),
        ("m@../stable", "1 1 o"),
        ("m@stable", "1 ../1 o"),
        ("m@stable", "1 1/../2 o"),
        ("m@stable", "x 1 o"),
        ("m@stable", "1"),
        ("m", "1 1 o"),
        ("m@stable", ""),
    ],
)
def test_what_is_no_name_is_left_out(store: JobStore, client: redis.Redis, name: str, value: str) -> None:
    edition = store.run(assign("m", "good", "1", "o"))
    client.hset(KEY, name, value)
    seen = store.run(assignments())
    assert seen.edition == edition
    assert {model: set(named) for model, named in seen.of.items()} == {"m": {"good"}}


def test_a_worker_reads_them_and_cannot_move_one(redis_url: str, store: JobStore, client: redis.Redis) -> None:
    store.run(assign("m", "stable", "1", "a"))
    with connect(as_role(redis_url, "worker"), "test") as theirs:
        worker = JobStore(theirs)
        assert worker.run(assignments()).versions("m") == {"stable": "1"}
        with pytest.raises(StoreUnavailable):
            worker.run(assign("m", "stable", "2", "a"))
        with pytest.raises(StoreUnavailable):
            worker.run(drop("m", "stable"))
    client.acl_log_reset()
    assert store.run(assignments()).versions("m") == {"stable": "1"}

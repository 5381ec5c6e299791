"""A store that nobody could reach: leases that ran out then are nobody's fault, and dead workers are found anyway."""

from __future__ import annotations

import time

import redis

from shared.schema import Claim
from shared.steps import Swept, beat, finish, sweep
from shared.store import PREFIX, JobStore
from tests.shared.store_samples import BY, LEASE_S, accepting, good, lose_leases, seen, spec, take

GRACE_S, PATIENCE_S = 30.0, 15.0


def swept(store: JobStore) -> Swept:
    return store.run(sweep(most=100, max_attempts=1, grace_s=GRACE_S, patience_s=PATIENCE_S))


def held(store: JobStore) -> Claim:
    store.run(accepting(spec()))
    (one,) = take(store)
    return one


def last_sweep(client: redis.Redis, ago_s: float) -> None:
    """As if nobody had swept since then."""
    client.hset(PREFIX + "swept", "at", int((time.time() - ago_s) * 1000))


def watched_since(client: redis.Redis, ago_s: float) -> None:
    """As if the store had been in reach again since then."""
    client.hset(PREFIX + "swept", "since", int((time.time() - ago_s) * 1000))


def test_a_lease_that_ran_out_while_the_store_was_away_is_not_taken_back(store: JobStore, client: redis.Redis) -> None:
    one = held(store)
    swept(store)
    lose_leases(client)
    last_sweep(client, PATIENCE_S + 1)
    assert (swept(store).poisoned, swept(store).poisoned) == (0, 0)  # nor by the sweeps right after the first one
    assert store.run(beat([one], LEASE_S)) == set()
    assert store.run(finish(one, good(), BY)) == "succeeded"
    assert seen(store, one.job.id).view.attempts == 1


def test_a_holder_that_stays_silent_after_an_outage_is_found_dead(store: JobStore, client: redis.Redis) -> None:
    one = held(store)
    swept(store)
    lose_leases(client)
    last_sweep(client, PATIENCE_S + 1)
    assert swept(store).poisoned == 0
    watched_since(client, GRACE_S - 1)
    assert swept(store).poisoned == 0
    watched_since(client, GRACE_S)
    assert swept(store).poisoned == 1
    assert seen(store, one.job.id).view.status == "failed"


def test_a_lease_that_runs_out_under_watch_is_taken_back_at_once(store: JobStore, client: redis.Redis) -> None:
    held(store)
    swept(store)
    lose_leases(client)
    last_sweep(client, PATIENCE_S - 1)
    assert swept(store).poisoned == 1


def test_the_first_sweep_of_a_store_waits_for_nobody(store: JobStore, client: redis.Redis) -> None:
    held(store)
    lose_leases(client)
    assert swept(store).poisoned == 1

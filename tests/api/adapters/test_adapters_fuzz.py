"""The API fuzz over the adapters: no answer of 5xx, every error of its documented type, every status documented."""

from __future__ import annotations

from bench.faults.api_fuzz import fuzz
from shared.store import JobStore
from tests.api.adapters.conftest import BusyWorker
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key


def test_nothing_that_schemathesis_sends_is_too_much(serve: Serve, store: JobStore, busy: BusyWorker) -> None:
    api = serve(auth="keys", adapters=("all",))
    headers = bearer(make_key(store, "shop", "admin"))
    found = fuzz(str(api.base_url).rstrip("/"), headers, cases=250, number=7, only="adapter:")
    assert found.wrong == []
    assert {200, 404, 422} <= set(found.statuses)

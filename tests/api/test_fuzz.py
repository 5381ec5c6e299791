"""A short form of the API fuzz: no answer of 5xx, every error a problem, every status in the document."""

from __future__ import annotations

from typing import Any

from bench.faults.api_fuzz import fuzz
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key


def test_nothing_that_schemathesis_sends_is_too_much(serve: Serve, store: JobStore, worker: Any) -> None:
    api = serve(auth="keys")
    worker.announce("m")
    headers = bearer(make_key(store, "shop", "admin"))
    found = fuzz(str(api.base_url).rstrip("/"), headers, cases=250, number=7)
    assert found.wrong == []
    assert {200, 202, 404, 422} <= set(found.statuses)

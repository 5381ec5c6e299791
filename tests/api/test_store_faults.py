"""A store that cannot take a job: the answer is 503, never 202, and what was accepted can be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from shared.connection import connect
from shared.store import JobStore
from shared.views import backlog
from tests.api.conftest import Serve, Worker
from tests.own_server import become_replica, fail_snapshots, fill, served

URL = {"image": {"url": "https://example.com/dog.jpg"}}


@pytest.mark.parametrize(
    ("fault", "code"),
    [(fill, "store_full"), (fail_snapshots, "store_unavailable"), (become_replica, "store_unavailable")],
)
def test_what_cannot_be_kept_is_not_accepted(
    serve: Serve, tmp_path: Path, fault: Callable[[redis.Redis, Path], None], code: str
) -> None:
    folder = tmp_path / "store"
    with served(folder) as url, connect(url, "test") as client:
        store = JobStore(client)
        Worker(store).announce()
        api = serve(redis_url=url)
        kept = api.post("/jobs", json=URL).json()["id"]
        fault(client, folder)
        for sent in ({"json": URL}, {"content": b"bytes", "headers": {"content-type": "image/jpeg"}}):
            refused = api.post("/jobs", **sent)
            assert (refused.status_code, refused.json()["code"]) == (503, code)
            assert int(refused.headers["retry-after"]) > 0
        assert api.get(f"/jobs/{kept}").json()["status"] == "queued"
        assert store.run(backlog())["m"].pictures == 1
        assert [job["id"] for job in api.get("/jobs").json()["jobs"]] == [kept]

"""`Allow` of a 405 names every method of the path, whichever routes have them, and only those."""

from __future__ import annotations

import httpx
import pytest

from api.allowed import methods_at
from api.main import create_app
from shared.settings import Settings
from tests.api.conftest import Serve

ALL = create_app(Settings(auth="keys", adapters=("all",)))


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs", ("GET", "POST")),
        ("/jobs/job_a", ("DELETE", "GET", "PUT")),
        ("/healthz", ("GET",)),
        ("/detect", ("GET", "POST")),
        ("/v1/models/m:predict", ("GET", "POST")),  # "m:predict" may be a model's name, too
        ("/v2/models/m/ready", ("GET",)),
        ("/v2/nothing", ()),  # what takes any path is not what is there
        ("/nothing", ()),
    ],
)
def test_the_methods_of_a_path(path: str, methods: tuple[str, ...]) -> None:
    assert methods_at(ALL, path) == methods


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/jobs", "GET, POST"),
        ("OPTIONS", "/jobs/job_a", "DELETE, GET, PUT"),
        ("PUT", "/annotate", "GET, POST"),
        ("POST", "/v2/health/live", "GET"),
    ],
)
def test_a_405_says_what_there_is(serve: Serve, method: str, path: str, allow: str) -> None:
    answer: httpx.Response = serve(adapters=("all",)).request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)

"""The OpenAPI document with everything switched on: complete, and every example as its own schema says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from api.main import create_app
from api.scopes import PUBLIC
from shared.settings import Settings

DOCUMENT: dict[str, Any] = create_app(Settings(auth="keys", adapters=("all",))).openapi()
OPERATIONS = {
    (method.upper(), path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
MAKE_JOBS = {
    ("POST", "/jobs"),
    ("PUT", "/jobs/{job}"),
    ("POST", "/jobs/{job}/retry"),
    ("POST", "/admin/dead/{job}/{index}/replay"),
}
every = pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))


def examples(form: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in form:
        yield form["example"]
    for one in form.get("examples", {}).values():
        yield one["value"]


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_operation_has_an_id_of_its_own() -> None:
    webhooks = [event["post"]["operationId"] for event in DOCUMENT["webhooks"].values()]
    ids = Counter([one["operationId"] for one in OPERATIONS.values()] + webhooks)
    assert [name for name, count in ids.items() if count > 1] == []


@every
def test_an_operation_says_what_it_is(method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert len(operation["tags"]) == len(set(operation["tags"]))


@every
def test_an_operation_says_how_it_refuses(method: str, path: str) -> None:
    """What the answer is where there is no key, no such thing, too much, or no store."""
    operation = OPERATIONS[method, path]
    expected = {"503"}
    if path not in PUBLIC:
        assert operation["security"] == [{"key": []}]
        expected |= {"401", "403"}
    if "{" in path:
        expected |= {"404"}
    if "requestBody" in operation:
        expected |= {"413", "422"}
        if len(operation["requestBody"]["content"]) > 1:
            expected |= {"415"}
    if (method, path) in MAKE_JOBS:
        expected |= {"429"}
    assert expected - set(operation["responses"]) == set()


@every
def test_a_refusal_says_what_to_do_next(method: str, path: str) -> None:
    responses = OPERATIONS[method, path]["responses"]
    wanted = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
    if path not in PUBLIC:
        for status, header in wanted.items():
            assert status not in responses or responses[status]["headers"][header]["required"]


@every
def test_every_answer_has_a_form(method: str, path: str) -> None:
    empty = {"204", "304"}
    for status, answer in OPERATIONS[method, path]["responses"].items():
        assert answer["description"]
        assert bool(answer.get("content")) != (status in empty), status


@every
def test_a_body_has_an_example_and_each_is_valid(method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    if "requestBody" not in operation:
        assert method in ("GET", "DELETE") or "body" not in operation
        return
    forms = operation["requestBody"]["content"]
    found = [(form["schema"], one) for form in forms.values() for one in examples(form)]
    assert found
    for schema, one in found:
        OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(one)


@every
def test_examples_of_answers_are_valid_too(method: str, path: str) -> None:
    for answer in OPERATIONS[method, path]["responses"].values():
        for form in answer.get("content", {}).values():
            for one in examples(form):
                OAS31Validator({**form["schema"], "components": DOCUMENT["components"]}).validate(one)


@every
def test_what_is_in_the_path_is_not_in_the_query_of_a_neighbour(method: str, path: str) -> None:
    """A function for several paths would take the version or the label of the others from its query."""
    asked = {one["name"] for one in OPERATIONS[method, path].get("parameters", ()) if one["in"] == "query"}
    assert path.startswith(("/v1/models", "/v2")) <= (not asked & {"version", "label"})


def test_numbers_have_their_bounds_in_the_document() -> None:
    """A validator before the bounds would hide them."""
    schemas = DOCUMENT["components"]["schemas"]
    (deadline, _), retain = (
        schemas["JobRequest"]["properties"]["deadline_s"]["anyOf"],
        schemas["JobRequest"]["properties"],
    )
    assert (deadline["minimum"], deadline["maximum"]) == (1, 604_800)
    assert retain["retain_s"]["anyOf"][0]["maximum"] == 2_592_000
    assert schemas["RotateRequest"]["properties"]["overlap_s"]["maximum"] == 604_800


def test_a_job_in_another_systems_form_is_no_job() -> None:
    schema = DOCUMENT["paths"]["/jobs/{job}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema) == {"anyOf"}

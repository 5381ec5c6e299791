"""What the generated OpenAPI 3.1 cannot guess: the body forms of `POST /jobs`, and problems as the error form."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from pydantic import BaseModel

from api.openapi_examples import BYTES, PICTURE
from api.openapi_webhooks import add_webhooks
from shared.schema import JobRequest

_COMPONENT = "#/components/schemas/{model}"

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "one picture or many, or one zip archive of them",
        },
        "model": {"type": "string"},
        "threshold": {"type": "number", "minimum": 0, "maximum": 1},
        "iou": {"type": "number", "minimum": 0, "maximum": 1},
        "max_detections": {"type": "integer", "minimum": 1, "maximum": 1000},
        "classes": {"type": "string", "description": "labels, separated by commas"},
        "draw": {"type": "boolean"},
        "options": {"type": "string", "description": "all options as JSON, instead of one by one"},
        "priority": {"type": "string", "enum": ["low", "normal", "high"]},
        "deadline_s": {"type": "integer"},
        "retain_s": {"type": "integer"},
        "webhook": {"type": "string", "description": "as JSON"},
        "metadata": {"type": "string", "description": "as JSON"},
        "others": {"type": "string", "enum": ["skip"], "description": "leave out files of a zip that are no pictures"},
    },
}
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


def prefer(wait: str) -> dict[str, Any]:
    """The parameter `Prefer` of a route; `wait` says what `wait=N` does there."""
    return {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "example": "wait=10",
        "description": f"wait=N: {wait}; other preferences are passed over (RFC 7240)",
    }


SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _COMPONENT.format(model="JobRequest")},
                "examples": {
                    "base64": {"value": {"image": {"base64": PICTURE}, "options": {"threshold": 0.4}}},
                    "url": {"value": {"image": {"url": "https://example.com/dog.jpg"}}},
                    "manifest": {"value": {"manifest": {"s3": "s3://bucket/list.jsonl"}}},
                    "bulk": {
                        "value": {
                            "images": [{"s3": "s3://bucket/1.jpg", "id": "one"}],
                            "options": {"classes": ["dog", "cat"], "thresholds": {"dog": 0.6}},
                            "priority": "low",
                            "metadata": {"camera": "7"},
                        }
                    },
                },
            },
            "multipart/form-data": {"schema": _FORM, "example": {"file": [BYTES], "threshold": 0.4}},
            "image/*": {"schema": BINARY},
            "application/zip": {"schema": BINARY},
        },
    },
    "parameters": [
        prefer("answer with the finished job when it ends within N (0..60) seconds"),
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": r"^[ -~]{1,255}$"},
            "description": "a name of yours for this request, kept for 24 hours: repeating it makes no second job",
        },
    ],
}


PUT_BODY: dict[str, Any] = {
    "requestBody": SUBMIT_BODY["requestBody"],
    "parameters": [one for one in SUBMIT_BODY["parameters"] if one["name"] == "Prefer"],
}
"""An id of the client's stands for the idempotency key."""


class Problem(BaseModel):
    """RFC 9457, with a stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None
    errors: list[dict[str, str]] = []
    retry_after: int | None = None


PROBLEM: dict[str, Any] = {
    "description": "a problem",
    "content": {"application/problem+json": {"schema": {"$ref": _COMPONENT.format(model="Problem")}}},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: what it refuses itself. What any route may answer is added by `complete`."""
    return dict.fromkeys(statuses, PROBLEM)


def _job_at_once(description: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": _COMPONENT.format(model="JobView")}}}
    return {200: {"description": description, "content": content}}


JOB_ANSWERS = problems(400, 404, 409, 413, 415, 422, 503)
"""Of the routes that take a job."""
_LOCATION = {"Location": {"required": True, "schema": {"type": "string"}, "description": "the job's address"}}
POST_ANSWERS = (
    _job_at_once("the job, ended, where the request waits for that")
    | {202: {"description": "the job, taken", "headers": _LOCATION}}
    | JOB_ANSWERS
)
LOOK_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the job; with `format`, its results as another system writes them",
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [{"$ref": _COMPONENT.format(model="JobView")}, {"type": "object"}, {"type": "array"}]
                }
            },
            "text/plain": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/xml": {"schema": {"type": "string"}},
            "application/zip": {"schema": BINARY},
        },
    },
    304: {"description": "nothing has changed since the answer with this ETag"},
    **problems(404, 409, 429),
}
EXPORT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the data set as one file",
        "content": {
            "application/json": {"schema": {"anyOf": [{"type": "object"}, {"type": "array"}]}},
            "text/csv": {"schema": {"type": "string"}},
            "application/zip": {"schema": BINARY},
        },
    },
    304: LOOK_ANSWERS[304],
    **problems(404, 409),
}
PUT_ANSWERS = (
    _job_at_once("the job that this request made before, as it is now")
    | {201: {"description": "the job, taken", "headers": _LOCATION}}
    | JOB_ANSWERS
)
_ANYWHERE = ("400", "408", "422", "431", "503")
_BEHIND_A_KEY = ("401", "403")
_OF_AN_OWNERS_LIMITS = ("429",)
_OF_A_BODY = ("413",)
_LATER = {
    "Retry-After": {
        "required": True,
        "schema": {"type": "string", "pattern": r"^\d+$"},
        "description": "seconds until it makes sense to try again",
    }
}
_HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}, "description": "RFC 6750"}},
    "403": {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "the scope that is lacking"}},
    "429": _LATER,
    "503": _LATER,
}
"""Of the errors of every route, an adapter's too."""


def complete(document: dict[str, Any], public: Container[str]) -> dict[str, Any]:
    """Say what holds for all routes, in place: the key, and the problems that come from before a route.

    Args:
        public: paths that ask for no key.
    """
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "spt_..."}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            statuses = [*_ANYWHERE, *(() if path in public else _BEHIND_A_KEY)]
            if "202" in answers or "201" in answers:
                statuses += _OF_AN_OWNERS_LIMITS
            if "requestBody" in operation:
                statuses += _OF_A_BODY
            answers |= {status: PROBLEM for status in statuses if status not in answers or _guessed(answers[status])}
            for status, headers in _HEADERS.items():
                if status in answers and path not in public:
                    answers[status] = {**answers[status], "headers": headers}
            if path not in public:
                operation["security"] = [{"key": []}]
    add_components(document)
    add_webhooks(document)
    return document


def _guessed(answer: dict[str, Any]) -> bool:
    """What FastAPI supposes of 422, where a route does not say it."""
    return "HTTPValidationError" in str(answer)


def add_components(document: dict[str, Any]) -> dict[str, Any]:
    """Add the schemas that routes name but FastAPI does not see, in place, and take away those that it supposes."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for supposed in ("HTTPValidationError", "ValidationError"):
        schemas.pop(supposed, None)
    for model in (JobRequest, Problem):
        schema = model.model_json_schema(ref_template=_COMPONENT)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    return document

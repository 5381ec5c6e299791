"""The OpenAPI document's `webhooks`: what this service sends to the endpoints that jobs name, and how they answer."""

from __future__ import annotations

from typing import Any

_JOB: dict[str, Any] = {
    "id": "job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB",
    "status": "succeeded",
    "model": {"name": "yolov3-tiny", "version": "1", "sha256": "d" * 64},
    "created_at": "2026-01-02T03:04:05.678Z",
    "queued_at": "2026-01-02T03:04:05.678Z",
    "started_at": "2026-01-02T03:04:05.680Z",
    "finished_at": "2026-01-02T03:04:05.691Z",
    "expires_at": "2026-01-03T03:04:05.691Z",
    "deadline_at": "2026-01-02T09:04:05.678Z",
    "attempts": 1,
    "queue_position": None,
    "counts": {"total": 1, "queued": 0, "running": 0, "succeeded": 1, "failed": 0, "canceled": 0, "expired": 0},
    "results": [
        {
            "index": 0,
            "id": "mine-1",
            "status": "succeeded",
            "attempts": 1,
            "version": "1",
            "image": {"width": 768, "height": 576},
            "detections": [
                {
                    "label": "dog",
                    "class_id": 16,
                    "confidence": 0.829,
                    "box": {"x": 124.1, "y": 219.8, "width": 258.2, "height": 298.0},
                }
            ],
        }
    ],
    "metadata": {"camera": "7"},
    "links": {
        "self": "/jobs/job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB",
        "events": "/jobs/job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB/events",
        "results": "/jobs/job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB/results",
        "export": "/jobs/job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB/export?format={format}",
    },
}
_NONE_DONE = {"succeeded": 0, "failed": 0, "canceled": 0, "expired": 0}
_FAILURE = {
    "code": "source_not_found",
    "title": "There is no picture at this address",
    "detail": "The server has nothing at this address.",
}

_PROBLEM = {
    "type": "urn:spotter:problem:queue_full",
    "title": "The queue is full",
    "status": 503,
    "detail": "100000 pictures are waiting for yolov3-tiny already; try again later.",
    "instance": "/jobs",
    "code": "queue_full",
    "request_id": "req_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB",
    "retry_after": 10,
}

_JOB_EVENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "job.succeeded": ("A job ended, and at least one of its pictures has a result.", {}),
    "job.failed": (
        "A job ended, and every one of its pictures failed.",
        {"results": [{"index": 0, "id": "mine-1", "status": "failed", "attempts": 1, "error": _FAILURE}]},
    ),
    "job.canceled": ("A job was canceled. Pictures that were done before have their results.", {"results": None}),
    "job.expired": ("A job was not finished by its deadline.", {"results": None}),
}

_HEADERS: list[dict[str, Any]] = [
    {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
        "description": "the event's id, the same at every attempt: tell doubles by it",
        "example": "job_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB.job.succeeded",
    },
    {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "schema": {"type": "string", "pattern": r"^\d+$"},
        "description": "Unix seconds of this attempt; refuse what is more than five minutes away",
        "example": "1767323046",
    },
    {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "schema": {"type": "string", "pattern": r"^v1,\S+( v1,\S+)*$"},
        "description": "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`, one for each secret that is valid, "
        "separated by spaces; one that is right is enough",
        "example": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
]
_ANSWERS: dict[str, Any] = {
    "2XX": {"description": "taken"},
    "410": {"description": "the address wants nothing more: disabled for a week, or until it takes something again"},
    "default": {"description": "tried again later, redirects included; `Retry-After` is honoured"},
}


def add_webhooks(document: dict[str, Any]) -> None:
    """Add the events, in place; they refer to the schema `JobView`, which gets an example, and so does `Problem`."""
    events = {
        name: _event(name, summary, {"$ref": "#/components/schemas/JobView"}, _example(name, changes))
        for name, (summary, changes) in _JOB_EVENTS.items()
    }
    test = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    said = "`POST /webhooks/test` was called with this address."
    events["webhook.test"] = _event("webhook.test", said, test, {"id": "test_01KAJ3ZGVYQ9M5Q1C5W2R0A8TB.webhook.test"})
    document["webhooks"] = events
    schemas = document["components"]["schemas"]
    schemas["JobView"]["examples"], schemas["Problem"]["examples"] = [_JOB], [_PROBLEM]


def _event(name: str, summary: str, data: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": name},
            "timestamp": {"type": "string", "format": "date-time", "description": "of the event, not of the attempt"},
            "data": data,
        },
    }
    body = {"type": name, "timestamp": "2026-01-02T03:04:05.691Z", "data": example}
    return {
        "post": {
            "summary": summary,
            "description": "Standard Webhooks 1.0.0. A job's results are left out of a body above 20 kB: fetch them.",
            "operationId": name.replace(".", "_"),
            "tags": ["webhooks"],
            "parameters": _HEADERS,
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": body}}},
            "responses": _ANSWERS,
            "security": [],
        }
    }


def _example(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    status = name.removeprefix("job.")
    counts = {"total": 1, "queued": 0, "running": 0, **_NONE_DONE, status: 1}
    return {**_JOB, "status": status, "counts": counts, **changes}

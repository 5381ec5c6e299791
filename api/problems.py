"""The error tree as HTTP: `application/problem+json` (RFC 9457). The API's one mapper of errors."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.allowed import not_allowed
from shared import errors, observe
from shared.errors import FieldError, InvalidRequest, SpotterError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_BY_HTTP_STATUS: dict[int, type[SpotterError]] = {
    400: errors.BadRequest,
    404: errors.RouteNotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMedia,
}


def problem(error: SpotterError, instance: str) -> Response:
    """The answer for one error; `instance` is the request's path."""
    body: dict[str, Any] = {
        "type": f"urn:spotter:problem:{error.code}",
        "title": error.title,
        "status": error.http_status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "request_id": observe.request_id.get(),
    }
    if error.errors:
        body["errors"] = [{"field": one.field, "reason": one.reason} for one in error.errors]
    sent = dict(error.headers)
    if error.retry_after_s is not None:
        body["retry_after"] = error.retry_after_s
        sent["Retry-After"] = str(error.retry_after_s)
    return Response(json.dumps(body), error.http_status, sent, MEDIA_TYPE)


def invalid(error: ValidationError | RequestValidationError) -> InvalidRequest:
    """Pydantic's findings, field by field, without echoing the values."""
    found = []
    for item in error.errors():
        # Inside a union pydantic names the variant too ("UrlSource"): no part of the request, so left out.
        path = [str(part) for part in item["loc"] if not (isinstance(part, str) and part[:1].isupper())]
        found.append(FieldError(".".join(path) or "body", item["msg"]))
    unique = tuple(dict.fromkeys(found))
    names = ", ".join(dict.fromkeys(one.field for one in unique))
    return InvalidRequest(f"Correct these and send it again: {names}.", errors=unique)


def in_the_tree(error: Exception) -> SpotterError:
    """Whatever a route may raise, as an error of the tree; what the operator has to know is logged."""
    if isinstance(error, SpotterError):
        if error.http_status >= 500:
            logger.warning("refused", extra={"code": error.code, "cause": str(error.__cause__)})
        return error
    if isinstance(error, ValidationError | RequestValidationError):
        return invalid(error)
    if isinstance(error, HTTPException):
        return _http(error)
    logger.error("internal error", exc_info=error)
    return errors.Internal("The request id finds the details in the log.")


def _http(error: HTTPException) -> SpotterError:
    known = _BY_HTTP_STATUS.get(error.status_code)
    if known is None:
        known = type("Other", (SpotterError,), {
            "code": f"http_{error.status_code}",
            "title": HTTPStatus(error.status_code).phrase,
            "http_status": error.status_code,
        })  # fmt: skip
    return known(headers=error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it: the client closed the connection, or was too slow


async def _problem(request: Request, error: Exception) -> Response:
    found = in_the_tree(error)
    if isinstance(found, errors.MethodNotAllowed):
        found = not_allowed(request.app, request.url.path)
    return problem(found, request.url.path)


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    for kind in (SpotterError, ValidationError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _problem)
    app.add_exception_handler(ClientDisconnect, _gone)

"""Requests that are wrong in themselves, who sends them, or what they ask for: sending one again changes nothing."""

from __future__ import annotations

from shared.errors.failure import BadRequest


class Unauthorized(BadRequest):
    """No key, or one that is malformed, unknown, expired or revoked: which of these is not told."""

    code, title, http_status = "unauthorized", "A valid key is needed", 401


class Forbidden(BadRequest):
    """The key is valid, but was not made for this."""

    code, title, http_status = "forbidden", "The key may not do this", 403


class InvalidRequest(BadRequest):
    """A field is missing, of the wrong type or out of range; `errors` names each."""

    code, title, http_status = "invalid_request", "A field of the request is not valid", 422


class BadJson(BadRequest):
    """The body is not JSON."""

    code, title, http_status = "bad_json", "The body is not valid JSON", 400


class UnsupportedMedia(BadRequest):
    """The body is of a type that this route does not read."""

    code, title, http_status = "unsupported_media", "This content type is not read here", 415


class BodyTooLarge(BadRequest):
    """The body holds more bytes than the service reads."""

    code, title, http_status = "body_too_large", "The body is too large", 413


class HeaderTooLarge(BadRequest):
    """The request's line and header fields hold more bytes than the service reads."""

    code, title, http_status = "header_too_large", "The header is too large", 431


class RequestTimeout(BadRequest):
    """The request did not arrive in its time."""

    code, title, http_status, retryable = "request_timeout", "The request came too slowly", 408, True


class UnknownModel(BadRequest):
    """No worker has ever offered a model of this name."""

    code, title, http_status = "unknown_model", "No such model", 422


class ModelNotFound(BadRequest):
    """The path names a model that no worker has ever offered."""

    code, title, http_status = "model_not_found", "No such model", 404


class AliasNotFound(BadRequest):
    """Nobody set this alias over HTTP, nor does a worker know it."""

    code, title, http_status = "alias_not_found", "No such alias", 404


class JobNotFound(BadRequest):
    """No job of this id: it never was, it is somebody else's, or its retention is over."""

    code, title, http_status = "job_not_found", "No such job", 404


class UploadNotFound(BadRequest):
    """No upload of this id is kept: it never was, it is somebody else's, or its time is over."""

    code, title, http_status = "upload_not_found", "No such upload", 404


class PictureNotFound(BadRequest):
    """The job has no picture of this index."""

    code, title, http_status = "picture_not_found", "No such picture", 404


class PictureNotStored(BadRequest):
    """The picture exists, but its bytes are not kept here."""

    code, title, http_status = "picture_not_stored", "The picture is not stored", 404


class DeadLetterNotFound(BadRequest):
    """The picture is not in the dead-letter list: it never was, it was replayed, or its job is no longer kept."""

    code, title, http_status = "dead_letter_not_found", "Not in the dead-letter list", 404


class DeliveryNotFound(BadRequest):
    """The job has no delivery of this id, or it is no longer kept."""

    code, title, http_status = "delivery_not_found", "No such delivery", 404


class RouteNotFound(BadRequest):
    """Nothing is served at this path."""

    code, title, http_status = "route_not_found", "Nothing is served at this path", 404


class MethodNotAllowed(BadRequest):
    """The path exists, the method does not."""

    code, title, http_status = "method_not_allowed", "This method is not allowed here", 405


class NotAcceptable(BadRequest):
    """None of the types in `Accept` can be made."""

    code, title, http_status = "not_acceptable", "None of the accepted types can be made", 406

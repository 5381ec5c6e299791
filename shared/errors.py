"""Everything that can go wrong, as one tree. The API maps it to HTTP, the worker to a failed picture; only they map.

    SpotterError
    |- BadRequest               the request itself is wrong; sending it again changes nothing
    |  |- Unauthorized            401 unauthorized
    |  |- Forbidden               403 forbidden
    |  |- InvalidRequest          422 invalid_request
    |  |- BadJson                 400 bad_json
    |  |- UnsupportedMedia        415 unsupported_media
    |  |- BodyTooLarge            413 body_too_large
    |  |- HeaderTooLarge          431 header_too_large
    |  |- RequestTimeout          408 request_timeout
    |  |- UnknownModel            422 unknown_model
    |  |- ModelNotFound           404 model_not_found
    |  |- JobNotFound             404 job_not_found
    |  |- PictureNotFound         404 picture_not_found
    |  |- PictureNotStored        404 picture_not_stored
    |  |- DeadLetterNotFound      404 dead_letter_not_found
    |  |- DeliveryNotFound        404 delivery_not_found
    |  |- RouteNotFound           404 route_not_found
    |  |- MethodNotAllowed        405 method_not_allowed
    |  |- NotAcceptable           406 not_acceptable
    |  |- JobFinished             409 job_finished
    |  |- WebhookSecretFixed      409 webhook_secret_fixed
    |  |- JobNotFinished          409 job_not_finished  (the same request again, when it has ended)
    |  |- NoResults               409 no_results
    |  |- JobIdTaken              409 job_id_taken
    |  |- NothingToRetry          409 nothing_to_retry
    |  |- UploadsGone             409 uploads_gone
    |  |- IdempotencyInFlight     409 idempotency_in_flight  (the same request again, shortly)
    |  `- IdempotencyMismatch     422 idempotency_mismatch
    |- Overloaded               nothing is wrong with the request; send it again after `retry_after`
    |  |- RateLimited             429 rate_limited
    |  |- WebhookCallsLimited     429 webhook_calls_limited
    |  |- QuotaExceeded           429 quota_exceeded
    |  |- TooManyListeners        429 too_many_listeners
    |  |- ServiceBusy             503 service_busy
    |  |- QueueFull               503 queue_full
    |  |- StoreFull               503 store_full
    |  `- StoreUnavailable        503 store_unavailable
    |- WaitOver                504 wait_over: the job has not ended while an adapter waited for it; it goes on
    |- PictureError             one picture cannot be answered; its job goes on
    |  |- InvalidImage            invalid_image
    |  |- ImageTooLarge           image_too_large
    |  |- SourceError
    |  |  |- FetchFailed          fetch_failed        (retryable)
    |  |  |- FetchTimeout         fetch_timeout       (retryable)
    |  |  |- AddressForbidden     address_forbidden
    |  |  |- SourceNotFound       source_not_found
    |  |  |- SourceTooLarge       source_too_large
    |  |  `- SourceDisabled       source_disabled
    |  |- UploadGone              upload_gone
    |  |- InferenceFailed         inference_failed    (retryable)
    |  |- Poison                  poison
    |  `- Internal                internal
    `- StartupError             startup: a process cannot start; the reason, and what to do next

`code` is stable: clients may compare it. `title` never changes for a code; `detail` says what happened this time and
what to do next, and never holds a secret, a resolved address or a foreign server's words.
"""

from __future__ import annotations

from shared.conflict_errors import (
    IdempotencyInFlight,
    IdempotencyMismatch,
    JobFinished,
    JobIdTaken,
    JobNotFinished,
    NoResults,
    NothingToRetry,
    UploadsGone,
    WebhookSecretFixed,
)
from shared.failure import BadRequest, FieldError, SpotterError
from shared.overload_errors import (
    Overloaded,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    ServiceBusy,
    StoreFull,
    StoreUnavailable,
    TooManyListeners,
    WebhookCallsLimited,
)
from shared.picture_errors import (
    AddressForbidden,
    FetchFailed,
    FetchTimeout,
    ImageTooLarge,
    InferenceFailed,
    Internal,
    InvalidImage,
    PictureError,
    Poison,
    SourceDisabled,
    SourceError,
    SourceNotFound,
    SourceTooLarge,
    UploadGone,
    picture_error,
)

__all__ = [
    "AddressForbidden",
    "BadJson",
    "BadRequest",
    "BodyTooLarge",
    "DeliveryNotFound",
    "FetchFailed",
    "FetchTimeout",
    "FieldError",
    "Forbidden",
    "HeaderTooLarge",
    "IdempotencyInFlight",
    "IdempotencyMismatch",
    "ImageTooLarge",
    "InferenceFailed",
    "Internal",
    "InvalidImage",
    "InvalidRequest",
    "JobFinished",
    "JobIdTaken",
    "JobNotFinished",
    "JobNotFound",
    "MethodNotAllowed",
    "ModelNotFound",
    "NoResults",
    "NotAcceptable",
    "NothingToRetry",
    "Overloaded",
    "PictureError",
    "PictureNotFound",
    "PictureNotStored",
    "Poison",
    "QueueFull",
    "QuotaExceeded",
    "RateLimited",
    "RequestTimeout",
    "RouteNotFound",
    "ServiceBusy",
    "SourceDisabled",
    "SourceError",
    "SourceNotFound",
    "SourceTooLarge",
    "SpotterError",
    "StartupError",
    "StoreFull",
    "StoreUnavailable",
    "TooManyListeners",
    "Unauthorized",
    "UnknownModel",
    "UnsupportedMedia",
    "UploadGone",
    "UploadsGone",
    "WaitOver",
    "WebhookCallsLimited",
    "WebhookSecretFixed",
    "picture_error",
]


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


class JobNotFound(BadRequest):
    """No job of this id: it never was, it is somebody else's, or its retention is over."""

    code, title, http_status = "job_not_found", "No such job", 404


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


class WaitOver(SpotterError):
    """The job has not ended while an adapter waited for it; it goes on, and can be looked at by its id."""

    code, title, http_status = "wait_over", "The job has not ended yet", 504


class StartupError(SpotterError):
    """A process cannot start. Its text is one sentence for the operator; the process exits non-zero with it."""

    code, title = "startup", "The process cannot start"

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
    |  |- AliasNotFound           404 alias_not_found
    |  |- JobNotFound             404 job_not_found
    |  |- PictureNotFound         404 picture_not_found
    |  |- PictureNotStored        404 picture_not_stored
    |  |- DeadLetterNotFound      404 dead_letter_not_found
    |  |- DeliveryNotFound        404 delivery_not_found
    |  |- UploadNotFound          404 upload_not_found
    |  |- RouteNotFound           404 route_not_found
    |  |- MethodNotAllowed        405 method_not_allowed
    |  |- NotAcceptable           406 not_acceptable
    |  |- JobFinished             409 job_finished
    |  |- VersionNotLoaded        409 version_not_loaded
    |  |- AliasChanged            409 alias_changed
    |  |- TooManyAliases          409 too_many_aliases
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
    |  |- UploadQuotaExceeded     429 upload_quota_exceeded
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

from shared.errors.conflicts import (
    AliasChanged,
    IdempotencyInFlight,
    IdempotencyMismatch,
    JobFinished,
    JobIdTaken,
    JobNotFinished,
    NoResults,
    NothingToRetry,
    TooManyAliases,
    UploadsGone,
    VersionNotLoaded,
    WebhookSecretFixed,
)
from shared.errors.failure import BadRequest, FieldError, SpotterError
from shared.errors.overload import (
    Overloaded,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    ServiceBusy,
    StoreFull,
    StoreUnavailable,
    TooManyListeners,
    UploadQuotaExceeded,
    WaitOver,
    WebhookCallsLimited,
)
from shared.errors.pictures import (
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
from shared.errors.requests import (
    AliasNotFound,
    BadJson,
    BodyTooLarge,
    DeadLetterNotFound,
    DeliveryNotFound,
    Forbidden,
    HeaderTooLarge,
    InvalidRequest,
    JobNotFound,
    MethodNotAllowed,
    ModelNotFound,
    NotAcceptable,
    PictureNotFound,
    PictureNotStored,
    RequestTimeout,
    RouteNotFound,
    Unauthorized,
    UnknownModel,
    UnsupportedMedia,
    UploadNotFound,
)
from shared.errors.startup import StartupError

__all__ = [
    "AddressForbidden",
    "AliasChanged",
    "AliasNotFound",
    "BadJson",
    "BadRequest",
    "BodyTooLarge",
    "DeadLetterNotFound",
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
    "TooManyAliases",
    "TooManyListeners",
    "Unauthorized",
    "UnknownModel",
    "UnsupportedMedia",
    "UploadGone",
    "UploadNotFound",
    "UploadQuotaExceeded",
    "UploadsGone",
    "VersionNotLoaded",
    "WaitOver",
    "WebhookCallsLimited",
    "WebhookSecretFixed",
    "picture_error",
]

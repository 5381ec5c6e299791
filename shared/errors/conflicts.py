"""Requests that are right in themselves, but not at this moment, or not after what was asked before."""

from __future__ import annotations

from shared.errors.failure import BadRequest


class JobFinished(BadRequest):
    """The job has ended, so it cannot be changed any more."""

    code, title, http_status = "job_finished", "The job has already ended", 409


class JobNotFinished(BadRequest):
    """The job has not ended: its results are wanted in a form that has a place for all of them alone, or it is to be
    tried again.
    """

    code, title, http_status, retryable = "job_not_finished", "The job has not ended yet", 409, True


class NoResults(BadRequest):
    """The job has ended, and not one of its pictures has detections to convert."""

    code, title, http_status = "no_results", "The job has no results", 409


class IdempotencyInFlight(BadRequest):
    """An earlier request with the same `Idempotency-Key` is still being taken in."""

    code, title, http_status, retryable = "idempotency_in_flight", "The first request is still under way", 409, True


class IdempotencyMismatch(BadRequest):
    """The `Idempotency-Key` was used before, for another job."""

    code, title, http_status = "idempotency_mismatch", "The key belongs to another request", 422


class JobIdTaken(BadRequest):
    """The id that the client chose belongs to another job."""

    code, title, http_status = "job_id_taken", "The id belongs to another job", 409


class NothingToRetry(BadRequest):
    """Every picture of the job succeeded."""

    code, title, http_status = "nothing_to_retry", "No picture is left to try again", 409


class UploadsGone(BadRequest):
    """The job cannot be tried again: bytes that came with it are no longer kept."""

    code, title, http_status = "uploads_gone", "Uploads of the job are no longer stored", 409


class VersionNotLoaded(BadRequest):
    """An alias is to mean a version that no live worker has loaded."""

    code, title, http_status = "version_not_loaded", "No worker has this version loaded", 409


class AliasChanged(BadRequest):
    """While the request waited for workers to follow it, another one changed the same alias."""

    code, title, http_status = "alias_changed", "The alias was changed again meanwhile", 409


class TooManyAliases(BadRequest):
    """As many aliases are set over HTTP as the store keeps."""

    code, title, http_status = "too_many_aliases", "Enough aliases are set", 409


class WebhookSecretFixed(BadRequest):
    """The webhook secret of jobs without keys is the service's own: its operator shows and changes it."""

    code, title, http_status = "webhook_secret_fixed", "This secret is the operator's", 409

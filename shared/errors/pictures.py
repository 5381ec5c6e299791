"""The branch of the error tree for single pictures: what a worker turns into a picture's `error`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.errors.failure import SpotterError


class PictureError(SpotterError):
    """One picture cannot be answered. The worker turns it into the picture's `error`."""

    code, title, http_status = "picture_failed", "The picture could not be processed", 422


class InvalidImage(PictureError):
    """The bytes are not a picture of an allowed format, or are damaged."""

    code, title = "invalid_image", "Not a readable picture"


class ImageTooLarge(PictureError):
    """More pixels than the service decodes."""

    code, title = "image_too_large", "The picture has too many pixels"


class SourceError(PictureError):
    """The picture's bytes could not be brought here."""

    code, title = "source_failed", "The picture could not be fetched"


class FetchFailed(SourceError):
    """The other side refused, broke off or answered nonsense."""

    code, retryable = "fetch_failed", True


class FetchTimeout(SourceError):
    """The other side did not deliver within the time allowed."""

    code, title, retryable = "fetch_timeout", "The picture took too long to fetch", True


class AddressForbidden(SourceError):
    """The address is private, local or otherwise closed to fetches (`SPOTTER_FETCH_ALLOW` opens networks)."""

    code, title = "address_forbidden", "This address may not be fetched from"


class SourceNotFound(SourceError):
    """The other side says that there is no such picture."""

    code, title = "source_not_found", "There is no picture at this address"


class SourceTooLarge(SourceError):
    """More bytes than the service fetches."""

    code, title = "source_too_large", "The picture has too many bytes"


class SourceDisabled(SourceError):
    """This kind of source is not configured on this service."""

    code, title = "source_disabled", "This kind of source is not configured"


class UploadGone(PictureError):
    """The uploaded bytes are no longer kept."""

    code, title = "upload_gone", "The uploaded picture is no longer stored"


class InferenceFailed(PictureError):
    """The model run failed or took too long."""

    code, title, retryable = "inference_failed", "The model run failed", True


class Poison(PictureError):
    """A worker died each time that it held this picture."""

    code, title = "poison", "The picture was given up after repeated crashes"


class Internal(PictureError):
    """An error that nobody foresaw; the log has the details under the job's id."""

    code, title, http_status = "internal", "Internal error", 500


def picture_error(code: str, detail: str, headers: Mapping[str, str] | None = None) -> PictureError:
    """What a worker wrote into a picture's `error`, as the error again; an unknown code is a plain PictureError."""
    kind = {one.code: one for one in _every(PictureError)}.get(code, PictureError)
    return kind(detail, headers=headers)


def _every(kind: type[PictureError]) -> Iterator[type[PictureError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _every(child)

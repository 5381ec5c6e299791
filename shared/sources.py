"""Where pictures may come from, as clients write it and as the store keeps it: unions told apart by a telling key."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

ClientId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
WebUrl = Annotated[str, StringConstraints(min_length=8, max_length=8192, pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://")]
S3Url = Annotated[str, StringConstraints(max_length=1100, pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$")]


class Strict(BaseModel):
    """Frozen, and a field that nobody knows is an error, not silently dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UrlSource(Strict):
    """A picture that the worker fetches over http or https."""

    url: WebUrl
    id: ClientId | None = None


class S3Source(Strict):
    """A picture that the worker reads from an allowed bucket."""

    s3: S3Url
    id: ClientId | None = None


class Base64Source(Strict):
    """A picture inside the request. The API stores its bytes and passes on an upload."""

    base64: Annotated[str, StringConstraints(min_length=1)]
    id: ClientId | None = None


class UploadSource(Strict):
    """A picture whose bytes are stored already."""

    upload: Annotated[str, StringConstraints(pattern=r"^up[lk]_[0-9A-Za-z]{20,40}$")]
    id: ClientId | None = None


Source = UrlSource | S3Source | Base64Source | UploadSource
"""What a client may send."""
StoredSource = UrlSource | S3Source | UploadSource
"""What the store keeps and a worker gets: never bytes."""


class Manifest(Strict):
    """A list of pictures in an allowed bucket: JSON Lines, one `UrlSource` or `S3Source` a line."""

    s3: S3Url

"""Earlier results as answers: the same bytes, asked for with the same options, of the same version of a model.

The API gives a picture that came with its request a digest of bytes and options. A worker that finishes such a picture
leaves a note, for as long as the job is kept: owner, model version and digest -> job and index. A later job all of
whose pictures have notes gets those results at once. A note is no copy: what is deleted answers nobody any more. Owners
have notes of their own, so that nobody learns from a quick answer what others sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.schema import ModelVersion, Options, PictureResult, StoredSource, UploadSource
from shared.store import Call

DIGEST_CHARS = 32


class NotedUpload(UploadSource):
    """An upload as the store keeps it; with `digest`, its result may answer for the same picture later."""

    digest: str | None = None


@dataclass(frozen=True)
class Recalled:
    """The results of all pictures of a job, from earlier ones, and the file that had answered those."""

    results: tuple[PictureResult, ...]
    by: ModelVersion

    def texts(self) -> list[str]:
        """As the store keeps them: the file, then the results."""
        return [self.by.model_dump_json(), *(one.model_dump_json(exclude_none=True) for one in self.results)]


def noted(
    sources: Sequence[StoredSource], uploads: Mapping[str, bytes], options: Options
) -> tuple[NotedUpload, ...] | None:
    """The sources with their digests; None where a picture's bytes are not here, or one is to be drawn."""
    if options.draw:
        return None
    asked = hashlib.sha256(options.model_dump_json(exclude_defaults=True).encode())
    found = []
    for source in sources:
        data = uploads.get(source.upload) if isinstance(source, UploadSource) else None
        if not isinstance(source, UploadSource) or data is None:
            return None
        digest = asked.copy()
        digest.update(hashlib.sha256(data).digest())
        found.append(NotedUpload(upload=source.upload, id=source.id, digest=digest.hexdigest()[:DIGEST_CHARS]))
    return tuple(found)


def recall(owner: str, reference: str, sources: Sequence[NotedUpload]) -> Call[Recalled | None]:
    """What `reference` said earlier of these pictures; None where one of them is new to it.

    It is `name@version`, or `name` for the version that is the default now.
    """

    def read(reply: list[Any]) -> Recalled | None:
        if not reply:
            return None
        by, *texts = reply
        earlier = [PictureResult.model_validate_json(text) for text in texts]
        results = tuple(
            one.model_copy(update={"index": k, "id": source.id, "attempts": 0, "cached": True})
            for k, (one, source) in enumerate(zip(earlier, sources, strict=True))
        )
        return Recalled(results, ModelVersion.model_validate_json(by))

    return Call("recall", (owner, reference, *(source.digest or "" for source in sources)), read)

"""Where pictures come from: a stored source goes in, its bytes come out, or an error that the picture's owner may read.

One function a kind, in `SOURCES`. It does not know what the bytes mean, and never sees base64 (the API stores that as
an upload). URLs leave through the guarded client; S3 goes to the operator's own endpoint and to named buckets only, so
a request never chooses a host there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.errors import UploadGone
from shared.s3 import S3Place, connect_s3, read_object, split_url
from shared.schema import S3Source, StoredSource, UploadSource, UrlSource
from worker.egress import Egress
from worker.exchange import Deadline, in_time

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_SLOTS = 32
"""S3 reads in flight, those given up on included."""


@dataclass(frozen=True)
class S3Access:
    """How to reach S3.

    Attributes:
        buckets: that `s3://` may name; empty: S3 sources are off.
        timeout_s: one picture, whole.
        place: which S3.
    """

    buckets: tuple[str, ...]
    timeout_s: float
    place: S3Place = field(default_factory=S3Place)


class Sources:
    """All sources of one worker; threads may share it.

    Args:
        egress: fetches URLs.
        s3: how to reach S3.
        get_upload: bytes of an upload by its id, None when they are no longer kept.
        max_bytes: one picture, from any source.
    """

    def __init__(self, egress: Egress, s3: S3Access, get_upload: Callable[[str], bytes | None], max_bytes: int) -> None:
        self.egress: Final = egress
        self.s3: Final = s3
        self.get_upload: Final = get_upload
        self.max_bytes: Final = max_bytes
        self.s3_slots: Final = threading.BoundedSemaphore(S3_SLOTS)
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    def fetch(self, source: StoredSource) -> bytes:
        """The source's bytes, at most `max_bytes` of them.

        Raises:
            SourceError: one of its leaves (see `Egress.get`), or SourceDisabled for a bucket that is not named.
            UploadGone: the upload is no longer kept.
        """
        return SOURCES[type(source)](self, source)

    def client(self) -> S3Client:
        """The one boto3 client, made at the first call: importing boto3 takes longer than starting a worker may."""
        with self._lock:
            if self._client is None:
                self._client = connect_s3(self.s3.place, timeout_s=self.s3.timeout_s, connections=S3_SLOTS)
            return self._client


def _url(sources: Sources, source: UrlSource) -> bytes:
    return sources.egress.get(source.url, max_bytes=sources.max_bytes)


def _upload(sources: Sources, source: UploadSource) -> bytes:
    data = sources.get_upload(source.upload)
    if data is None:
        raise UploadGone("The upload is no longer stored; send the picture again.")
    return data


def _s3(sources: Sources, source: S3Source) -> bytes:
    bucket, key = split_url(source.s3, sources.s3.buckets)
    deadline = Deadline(sources.s3.timeout_s)
    # boto3's timeouts are a connect and a read, and its name look-ups and credential chain have none: hence the thread.
    return in_time(
        lambda: read_object(sources.client(), bucket, key, sources.max_bytes, deadline.left), deadline, sources.s3_slots
    )


SOURCES: Mapping[type, Callable[[Sources, Any], bytes]] = {
    UrlSource: _url,
    S3Source: _s3,
    UploadSource: _upload,
}

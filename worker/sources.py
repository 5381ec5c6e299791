"""Where pictures come from: a stored source goes in, its bytes come out, or an error that the picture's owner may read.

One function a kind, in `SOURCES`. It does not know what the bytes mean, and never sees base64 (the API stores that as
an upload). URLs leave through the guarded client; S3 goes to the operator's own endpoint and to named buckets only, so
a request never chooses a host there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.errors import FetchFailed, FetchTimeout, SourceDisabled, SourceNotFound, SourceTooLarge, UploadGone
from shared.s3 import S3Place, connect_s3
from shared.schema import S3Source, StoredSource, UploadSource, UrlSource
from worker.egress import Egress
from worker.exchange import Deadline, in_time

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_SLOTS = 32
"""S3 reads in flight, those given up on included."""
S3_CHUNK_BYTES = 262_144
S3_KEY_BYTES = 1024
"""AWS: "The name for a key is a sequence of Unicode characters whose UTF-8 encoding is at most 1,024 bytes"."""
NO_SUCH_KEY = frozenset({"NoSuchKey", "NoSuchVersion", "404"})


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
    bucket, _, key = source.s3.removeprefix("s3://").partition("/")
    if not sources.s3.buckets:
        raise SourceDisabled("No bucket is opened on this service (SPOTTER_S3_BUCKETS).")
    if bucket not in sources.s3.buckets:
        raise SourceDisabled("This bucket is not opened on this service (SPOTTER_S3_BUCKETS).")
    if len(key.encode()) > S3_KEY_BYTES:
        raise SourceNotFound(f"An S3 key has at most {S3_KEY_BYTES} bytes.")
    if not {".", ".."}.isdisjoint(key.split("/")):
        # A store, or a proxy before it, that tidies up paths would find another bucket there.
        raise SourceNotFound("An S3 key has no '.' or '..' between slashes here.")
    deadline = Deadline(sources.s3.timeout_s)
    # boto3's timeouts are a connect and a read, and its name look-ups and credential chain have none: hence the thread.
    return in_time(
        lambda: _read_object(sources.client(), bucket, key, sources.max_bytes, deadline), deadline, sources.s3_slots
    )


def _read_object(client: S3Client, bucket: str, key: str, max_bytes: int, deadline: Deadline) -> bytes:
    """One GetObject, refused by its ContentLength before a byte is read, and cut off at `max_bytes` + 1 anyway."""
    from botocore.exceptions import (  # not at the top: see Sources.client
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        ReadTimeoutError,
    )

    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        # `closing`, because the body's own `__enter__` gives urllib3's stream, which counts and checks nothing.
        with closing(answer["Body"]) as stream:
            if answer.get("ContentLength", 0) > max_bytes:
                raise SourceTooLarge(f"The picture has more than {max_bytes} bytes.")
            data = bytearray()
            while chunk := stream.read(S3_CHUNK_BYTES):
                data += chunk
                deadline.left()
                if len(data) > max_bytes:
                    raise SourceTooLarge(f"The picture has more than {max_bytes} bytes.")
            return bytes(data)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in NO_SUCH_KEY:
            raise SourceNotFound("The bucket has no such key.") from error
        raise FetchFailed("S3 refused to give the object.") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise FetchTimeout("S3 did not answer in the time allowed.") from error
    except (BotoCoreError, OSError) as error:
        raise FetchFailed("S3 could not be reached, or it broke off.") from error


SOURCES: Mapping[type, Callable[[Sources, Any], bytes]] = {
    UrlSource: _url,
    S3Source: _s3,
    UploadSource: _upload,
}

"""What both sides say to each other: the job request, options, results, and the words for states; sources.py has the
places that pictures come from.

Request models forbid unknown fields. Boxes are pixels of the upright original picture. Times are epoch milliseconds
inside and RFC 3339 UTC outside.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from shared.sources import Base64Source as Base64Source
from shared.sources import Manifest, Source
from shared.sources import S3Source as S3Source
from shared.sources import StoredSource as StoredSource
from shared.sources import Strict as Strict
from shared.sources import UploadSource as UploadSource
from shared.sources import UrlSource as UrlSource
from shared.sources import WebUrl as WebUrl

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
PictureStatus = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Priority = Literal["low", "normal", "high"]
WebhookEvent = Literal["job.succeeded", "job.failed", "job.canceled", "job.expired"]

TERMINAL: frozenset[Status] = frozenset({"succeeded", "failed", "canceled", "expired"})
DEFAULT_OWNER = "default"
"""Whose jobs are that came without a key."""
INLINE_RESULTS = 100
"""A job of at most this many pictures shows its results inside the job."""

JOB_ID = r"^job_[0-9A-Za-z_-]{1,64}$"
Probability = Annotated[float, Field(ge=0, le=1)]
ModelRef = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(@[a-z0-9][a-z0-9._-]{0,62})?$")]
OwnerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


def rfc3339(epoch_ms: int | None) -> str | None:
    """`1700000000123` -> `2023-11-14T22:13:20.123Z` (RFC 3339, UTC)."""
    if epoch_ms is None:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(value: object) -> object:
    if not isinstance(value, str) or value.lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError("a time is written as in RFC 3339: 2026-01-02T03:04:05Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time as a client writes it. Numbers, which pydantic would take for Unix seconds, are refused."""


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


NUMBER_ONLY = BeforeValidator(_number)
"""Pydantic alone would take `true` and texts, too. It stands behind the bounds, or the document lacks them."""
Label = Annotated[str, StringConstraints(max_length=1000)]
"""Bounded, so that pydantic looks at the text: JSON may have half a character, which no store takes."""

# -- the request ----------------------------------------------------------------------------------------------------


class Options(Strict):
    """How detections are chosen from the model's output.

    Attributes:
        threshold: smallest confidence, 0..1; absent: the model's own default.
        iou: overlap above which the weaker of two boxes of one class is dropped (NMS), 0..1.
        max_detections: the strongest so many are kept.
        classes: only these labels; absent: all.
        thresholds: smallest confidence by label, instead of `threshold`.
        draw: keep the annotated picture for `GET /jobs/{id}/pictures/{k}?draw=true`.
    """

    threshold: Probability | None = None
    iou: Probability | None = None
    max_detections: Annotated[int, Field(ge=1, le=1000)] = 100
    classes: Annotated[tuple[Label, ...], Field(max_length=1000)] | None = None
    thresholds: Annotated[dict[Label, Probability], Field(max_length=1000)] = {}  # noqa: RUF012 - pydantic copies it
    draw: bool = False


class Webhook(Strict):
    """Where to tell of the job's end (Standard Webhooks)."""

    url: WebUrl
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1)] = ("job.succeeded", "job.failed")


class JobRequest(Strict):
    """The body of `POST /jobs`. Exactly one of `image`, `images` and `manifest`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": kind}}}
                for name, kind in (("image", "object"), ("images", "array"), ("manifest", "object"))
            ]
        }
    )

    image: Source | None = None
    images: Annotated[tuple[Source, ...], Field(min_length=1, max_length=10_000)] | None = None
    manifest: Manifest | None = None
    model: ModelRef | None = None
    options: Options = Options()
    priority: Priority = "normal"
    deadline_s: Annotated[int, Field(ge=1, le=604_800), NUMBER_ONLY] | None = None
    retain_s: Annotated[int, Field(ge=1, le=2_592_000), NUMBER_ONLY] | None = None
    webhook: Webhook | None = None
    metadata: Annotated[
        dict[
            Annotated[str, StringConstraints(min_length=1, max_length=64)],
            Annotated[str, StringConstraints(max_length=512)],
        ],
        Field(max_length=16),
    ] = {}  # noqa: RUF012 - pydantic copies it

    @model_validator(mode="after")
    def _one_form(self) -> JobRequest:
        if [self.image, self.images, self.manifest].count(None) != 2:
            raise ValueError("give exactly one of image, images and manifest")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """The pictures in order, whichever form they came in; none where a manifest lists them."""
        return self.images or (() if self.image is None else (self.image,))


# -- what the store keeps and a worker claims -----------------------------------------------------------------------


class JobSpec(Strict):
    """The part of a job that never changes after accept. `pictures` lie beside it, one a field.

    `model` is the reference that the job waits for: `name`, answered by whichever version is the default at the claim,
    or `name@version`. It is the name of the queue too. `owner` is whose key sent it; nobody else's may see it.
    """

    id: Annotated[str, StringConstraints(pattern=JOB_ID)]
    owner: OwnerName = DEFAULT_OWNER
    model: str
    options: Options
    priority: Priority
    total: int
    deadline_s: int
    retain_s: int
    webhook: Webhook | None = None
    metadata: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it


class Claim(Strict):
    """One picture in a worker's hands. Only the newest `fence` of a picture may write its result.

    Attributes:
        fence: number of this claim of the picture, from 1.
        attempts: likewise, without the claims that were handed back.
        created_ms: epoch ms at which the job was accepted, by the store's clock.
        claimed_ms: epoch ms of the claim, by the store's clock.
        wary: whether a worker died lately, over a picture perhaps.
        data: the picture's bytes, where it is an upload that the store gave along.
    """

    job: JobSpec
    index: int
    source: StoredSource
    fence: int
    attempts: int
    created_ms: int
    claimed_ms: int
    wary: bool = False
    data: bytes | None = Field(default=None, repr=False)


class Box(Strict):
    """Top-left corner and size in pixels of the upright original picture; inside it."""

    x: float
    y: float
    width: float
    height: float


class Detection(Strict):
    """One found object."""

    label: str
    class_id: int
    confidence: float
    box: Box


class ImageSize(Strict):
    """Size of the upright original picture in pixels."""

    width: int
    height: int


class Timings(Strict):
    """Where one picture's time went, in milliseconds, and what it ran on."""

    queue_ms: float
    fetch_ms: float
    decode_ms: float
    batch_wait_ms: float
    infer_ms: float
    select_ms: float
    total_ms: float
    batch_size: int
    provider: str
    precision: str


class PictureFailure(Strict):
    """Why one picture has no detections; `code` is from the error tree."""

    code: str
    title: str
    detail: str


class PictureResult(Strict):
    """One picture's outcome, as stored and as shown in `results`.

    `version` is that of the model that answered: a job without a version may span a switch. `cached`: this is the
    result of the same picture in an earlier job, `timings` included.
    """

    index: int
    id: str | None = None
    status: PictureStatus
    attempts: int = 0
    version: str | None = None
    cached: bool = False
    image: ImageSize | None = None
    detections: tuple[Detection, ...] | None = None
    error: PictureFailure | None = None
    timings: Timings | None = None


class Counts(Strict):
    """Pictures of a job by state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int = 0
    expired: int = 0


class ModelVersion(Strict):
    """Which file answered last; before that, the version that the job is bound to, if any."""

    name: str
    version: str | None = None
    sha256: str | None = None


class JobView(Strict):
    """A job as clients see it. Times are RFC 3339 UTC; `links` are made by the API."""

    id: str
    status: Status
    model: ModelVersion
    created_at: str
    queued_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    deadline_at: str
    attempts: int
    queue_position: int | None
    counts: Counts
    results: tuple[PictureResult, ...] | None
    metadata: dict[str, str]
    links: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

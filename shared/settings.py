"""One frozen Settings: the only reader of the environment (`SPOTTER_*`). A bad value stops the start.

Durations end in `_s` or `_ms`, sizes in `_bytes`. Secrets are `SecretStr` and never shown. Below the composition roots
(`api/main.py`, `worker/main.py`) pass values on, not this object. `.env.example` lists every field; a test compares.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import StartupError
from shared.signing import MOST_SECRETS, secret_keys

Megabyte = 1024 * 1024
Network = IPv4Network | IPv6Network
Wait = Annotated[float, Field(ge=0, le=604_800)]
CommaList = NoDecode  # the field's text is split by a validator below, not parsed as JSON


class Settings(BaseSettings):
    """All settings with their defaults and bounds. Fields are grouped as the README's table is."""

    model_config = SettingsConfigDict(env_prefix="SPOTTER_", frozen=True, extra="ignore")

    # -- store and queue
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="job store: redis://, rediss:// or sentinel://...?master=name",
    )
    broker_url: SecretStr | None = Field(None, description="Celery's broker, amqp:// for instance; empty: redis_url")
    store_full_at: float = Field(
        0.8, gt=0, le=1, description="share of the store's memory beyond which POST answers 503"
    )
    secrets_dir: Annotated[tuple[str, ...], CommaList] = Field(
        (), description="folders with secrets as files named after settings, such as spotter_redis_url"
    )
    queue_limit: int = Field(100_000, ge=1, description="waiting pictures per model; beyond it POST answers 503")
    max_pictures: int = Field(10_000, ge=1, le=10_000, description="pictures in one job")
    deadline_s: int = Field(21_600, ge=1, le=604_800, description="default: a job not finished by then expires")
    retain_s: int = Field(86_400, ge=1, le=2_592_000, description="default: results live this long after the end")
    lease_s: float = Field(30.0, ge=0.5, le=600, description="a silent worker loses its pictures after this")
    sweep_s: float = Field(5.0, ge=0.1, le=60, description="how often lost work is looked for")
    max_attempts: int = Field(3, ge=1, le=20, description="claims of one picture before it is given up as poison")

    # -- who may call
    auth: Literal["keys", "off"] = Field("keys", description="off: nobody is asked for a key; for this machine alone")
    auth_off_anywhere: bool = Field(False, description="with auth off, answer beyond this machine, too")
    owner_rate: float = Field(100.0, ge=0, le=1_000_000, description="jobs a second that one owner may send; 0: any")
    owner_burst: int = Field(200, ge=1, le=1_000_000, description="jobs that one owner may send at once")
    owner_open_jobs: int = Field(20_000, ge=0, description="jobs of one owner that have not ended; 0: any number")
    owner_waiting: int = Field(50_000, ge=0, description="waiting pictures of one owner; 0: any number")
    owner_upload_bytes: int = Field(
        256 * Megabyte, ge=0, description="uploads that one owner keeps for several jobs; 0: any"
    )
    header_timeout_s: float = Field(10.0, gt=0, le=300, description="for a request's header to arrive")
    body_timeout_s: float = Field(10.0, gt=0, le=300, description="for its body, and 1 s more for each body_rate_bytes")
    body_rate_bytes: int = Field(16_384, ge=1, description="bytes a second that a body must come at, on average")
    answer_timeout_s: float = Field(15.0, gt=0, le=300, description="for a client to read on when it has stopped")
    owner_listeners: int = Field(2048, ge=1, description="streams of events and long-polls of one owner at one process")
    max_listeners: int = Field(3072, ge=1, description="streams of events and long-polls of one API process")
    max_connections: int = Field(4096, ge=1, le=1_000_000, description="open connections of one API process")

    # -- models and device
    models_dir: str = Field("models", description="model repository: <name>/<version>/model.onnx")
    models: Annotated[tuple[str, ...], CommaList] = Field((), description="what a worker serves; empty: all it has")
    default_model: str = Field("yolov3-tiny", description="used where a request names none")
    reload_s: float = Field(2.0, ge=0.1, le=3600, description="how often a worker looks for new versions and aliases")
    retire_s: float = Field(30.0, ge=3, le=3600, description="a version that is not wanted any more answers this long")
    provider: Literal["auto", "cuda", "tensorrt", "openvino", "cpu"] = Field("auto", description="execution provider")
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field("auto", description="arithmetic of the provider")
    device_id: int = Field(0, ge=0, le=64, description="which GPU, for cuda and tensorrt")
    gpu_memory_bytes: int = Field(0, ge=0, description="GPU memory that each model of a worker may take; 0: all")
    engine_cache: str = Field("~/.cache/spotter/engines", description="where tensorrt keeps what it built")
    infer_threads: int = Field(0, ge=0, le=1024, description="threads of a model's runs together; 0: one per core")
    lanes: int = Field(0, ge=0, le=256, description="model runs side by side; 0: chosen from cores and model")
    max_batch: int = Field(0, ge=0, le=256, description="pictures in one model run, at most; 0: chosen")
    infer_timeout_s: float = Field(60.0, gt=0, le=3600, description="wait for one picture's model run")
    hang_s: float = Field(120.0, ge=1, le=7200, description="a model run that takes longer ends the worker")
    concurrency: int = Field(0, ge=0, le=256, description="pictures that one worker prepares side by side; 0: chosen")
    chunk: int = Field(16, ge=1, le=256, description="pictures of a bulk job that one claim takes at most")

    # -- pictures
    max_body_bytes: int = Field(20 * Megabyte, ge=1024, description="one request body")
    max_archive_bytes: int = Field(
        100 * Megabyte, ge=1024, description="one zip archive of pictures; unpacked it may hold twice as much"
    )
    max_image_bytes: int = Field(20 * Megabyte, ge=1024, description="one encoded picture, from any source")
    max_image_pixels: int = Field(50_000_000, ge=1, le=178_956_970, description="one decoded picture")
    decode_memory_bytes: int = Field(
        1024 * Megabyte, ge=Megabyte, description="all pictures in decoding together; one that needs more is refused"
    )
    decode_timeout_s: float = Field(20.0, ge=0.1, le=600, description="decoding one picture in a child process")
    isolate: Literal["auto", "always"] = Field(
        "auto", description="decode in child processes: pictures tried again and all after a crash, or always all"
    )
    scaled_decode: bool = Field(
        True, description="decode JPEGs of twice the model's frame or more at 1/2, 1/4 or 1/8 of their size"
    )
    cache: bool = Field(True, description="the same picture, asked for again in the same way, has its earlier result")

    # -- sources
    fetch_timeout_s: float = Field(10.0, gt=0, le=300, description="one picture by URL, whole")
    fetch_redirects: int = Field(3, ge=0, le=10, description="redirects followed for one picture")
    fetch_ports: Annotated[tuple[int, ...], CommaList] = Field(
        (80, 443), description="ports that a URL may name; allowed networks may use any"
    )
    fetch_allow: Annotated[tuple[Network, ...], CommaList] = Field((), description="closed networks to open, as CIDR")
    fetch_deny: Annotated[tuple[Network, ...], CommaList] = Field(
        (), description="networks to close, as CIDR; wins over fetch_allow"
    )
    s3_endpoint: str | None = Field(None, description="S3-compatible endpoint; empty: AWS")
    s3_region: str | None = Field(None, description="region of the buckets")
    s3_access_key: SecretStr | None = Field(None, description="empty: boto3's own chain")
    s3_secret_key: SecretStr | None = Field(None, description="empty: boto3's own chain")
    s3_buckets: Annotated[tuple[str, ...], CommaList] = Field(
        (), description="buckets that s3:// may name; empty: s3 sources are off"
    )

    # -- uploads and drawn pictures
    blob_bucket: str | None = Field(
        None, description="S3 bucket for stored pictures above blob_inline_bytes; empty: the store keeps all"
    )
    upload_keep_s: int = Field(
        30,
        ge=1,
        le=2_592_000,
        description="an upload in the store lives on so long after its picture succeeded; large ones shorter",
    )
    blob_inline_bytes: int = Field(Megabyte, ge=0, description="stored pictures up to this stay in the store")

    # -- webhooks
    webhook_secret: SecretStr | None = Field(
        None, description="whsec_..., or the new and the old one; empty: webhooks are off"
    )
    webhook_timeout_s: float = Field(15.0, gt=0, le=60, description="one delivery attempt, whole")
    webhook_retry_s: Annotated[tuple[Wait, ...], CommaList] = Field(
        (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        max_length=50,
        description="waits before the second attempt of a delivery, the third, ...; then it is given up",
    )
    webhook_http: bool = Field(False, description="allow http:// endpoints, not only https://")

    # -- service
    adapters: Annotated[tuple[str, ...], CommaList] = Field(
        (), description="interfaces of other systems to answer as well (docs/adapters.md); all: every one"
    )
    adapter_wait_s: float = Field(60.0, gt=0, le=600, description="an adapter's answer waits so long for its job")
    base_url: str | None = Field(None, description="public address for links; empty: links are paths")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="JSON logs on stderr")

    @field_validator(
        "models",
        "fetch_ports",
        "fetch_allow",
        "fetch_deny",
        "s3_buckets",
        "webhook_retry_s",
        "secrets_dir",
        "adapters",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "broker_url",
        "s3_endpoint",
        "s3_region",
        "s3_access_key",
        "s3_secret_key",
        "blob_bucket",
        "webhook_secret",
        "base_url",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def broker(self) -> str:
        """The broker's address, password included."""
        return (self.broker_url or self.redis_url).get_secret_value()

    @field_validator("webhook_secret")
    @classmethod
    def _is_standard_webhooks_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                several = len(secret_keys(value.get_secret_value()))
            except StartupError as error:
                raise ValueError(error.detail) from None
            if several > MOST_SECRETS:
                raise ValueError(f"at most {MOST_SECRETS} webhook secrets sign side by side")
        return value


def load() -> Settings:
    """Read the environment once, and the folders of `SPOTTER_SECRETS_DIR`; a variable goes before a file.

    Raises:
        StartupError: a value is missing, malformed or out of bounds; the text names each variable.
    """
    try:
        told = Settings()
        if not told.secrets_dir:
            return told
        for folder in map(Path, told.secrets_dir):
            list(folder.iterdir())  # a folder that is missing would be passed over
        return Settings(_secrets_dir=told.secrets_dir)
    except OSError as error:
        raise StartupError(f"SPOTTER_SECRETS_DIR: {error.filename} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"SPOTTER_{str(item['loc'][0]).upper() if item['loc'] else '?'}: {item['msg']}" for item in error.errors()
        )
        raise StartupError(f"The settings are not valid: {wrong}.") from None

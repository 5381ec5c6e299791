"""The model contract on disk: what `model.json` says of the `model.onnx` beside it, and where both lie.

`zoo` writes these files, `worker` reads them; neither imports the other. Every model has one signature:

    in   images  (N, H, W, 3)  uint8    RGB frames of `frame.height` x `frame.width`, 0..255
    out  boxes   (N, A, 4)     float32  x1 y1 x2 y2, 0..1 of the frame
    out  scores  (N, A, C)     float32  probability per class

(float32 frames, still 0..255, where `interpolation` is darknet: rounding alone moves its confidences by up to 0.02).
A model that names one class for each box (`single_label`) has `boxes (N, A, 4)`, `scores (N, A)`, `labels (N, A)`
int64; rows that say nothing have label -1. N is open, or 1 where `max_batch` is 1.

    <models>/<name>/<version>/model.onnx, model.json, model.<precision>.onnx
    <models>/<name>/aliases.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import StartupError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
VERSION = re.compile(r"[0-9]{1,9}")
ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,62}")
DEFAULT_ALIAS = "default"
ALIASES_FILE = "aliases.json"

LEAST_MATCHED = 0.95
MOST_DRIFT = 0.02
"""How far a variant may be from fp32 before `auto` passes it by; as `Agreement` measures it."""

Interpolation = Literal["linear", "darknet"]
Resize = Literal["stretch", "letterbox", "corner"]
Probability = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frame(_Frozen):
    """Size of the network's input in pixels."""

    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]


class Defaults(_Frozen):
    """Thresholds used where a request names none; 0..1."""

    threshold: Probability = 0.25
    iou: Probability = 0.45


class Origin(_Frozen):
    """Where the model came from: addresses or package names, and the sha256 of each source file by name."""

    source: str
    files: dict[str, str] = {}
    licence: str


class Agreement(_Frozen):
    """How the detections of a variant agree with those of fp32 on a set of pictures.

    Attributes:
        pictures: how many were compared.
        detections: of fp32, at the model's default threshold.
        matched: part of them that the variant finds too, with the same label and an overlap of at least 0.5; 0..1.
        confidence_drift: mean absolute difference of confidence over the matched ones.
    """

    pictures: Annotated[int, Field(ge=1)]
    detections: Annotated[int, Field(ge=0)]
    matched: Probability
    confidence_drift: Probability

    @property
    def close(self) -> bool:
        """Whether `auto` may take the variant. Without a single detection nothing is known."""
        return self.detections > 0 and self.matched >= LEAST_MATCHED and self.confidence_drift <= MOST_DRIFT


class Variant(_Frozen):
    """The same model in another arithmetic: `model.<precision>.onnx` beside `model.onnx`, under the same signature.

    Where `sha256` is that of `model.onnx`, there is no second file: a provider computes that graph in this precision.
    """

    sha256: Sha256
    agreement: Agreement


class Traits(_Frozen):
    """What a model is, whatever its name and version.

    Attributes:
        family: what it was made from, such as `darknet`, `tf-detection`, `ultralytics`; for people.
        resize: `stretch` scales both axes on their own (AlexeyAB's darknet, OpenCV DNN); `letterbox` keeps the
            aspect and pads on both sides (the original darknet, Ultralytics); `corner` pads right and bottom (YOLOX).
        padding: grey level of what `letterbox` and `corner` add, 0..255.
        interpolation: `linear` samples at half-pixel centres (OpenCV `INTER_LINEAR`); `darknet` aligns the corners
            (darknet `resize_image`) and keeps fractions.
        single_label: whether the second form of the signature holds.
        suppressed: whether the model leaves no overlapping boxes by itself, so that the worker drops none.
        max_batch: frames in one run, at most; None: any number.
        precision: what `auto` takes, by provider; see `worker/providers.py`.
        unfit: providers that never get the model, since loading it would take the process with it.
    """

    family: Annotated[str, Field(pattern=f"^{NAME.pattern}$")] = "darknet"
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    frame: Frame
    resize: Resize = "stretch"
    padding: Annotated[float, Field(ge=0, le=255)] = 127.5
    interpolation: Interpolation = "linear"
    single_label: bool = False
    suppressed: bool = False
    max_batch: Annotated[int, Field(ge=1, le=1024)] | None = None
    defaults: Defaults = Defaults()
    precision: dict[str, str] = {}
    unfit: tuple[str, ...] = ()
    origin: Origin

    def batch(self, most: int) -> int:
        """Frames in one run, where `most` are allowed."""
        return min(most, self.max_batch or most)


class Manifest(Traits):
    """`model.json`.

    Attributes:
        sha256: of `model.onnx`, lower-case hex; checked when a worker loads the model.
        variants: by precision.
    """

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    version: Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]
    sha256: Sha256
    variants: dict[Literal["fp16", "bf16", "int8"], Variant] = {}


def versions(models_dir: Path, name: str) -> list[str]:
    """The complete versions of a model on disk, oldest first. Folders without `model.json` are unfinished: left out."""
    found = [
        path.parent.name
        for path in (models_dir / name).glob("*/model.json")
        if VERSION.fullmatch(path.parent.name) and path.with_name("model.onnx").is_file()
    ]
    return sorted(found, key=int)


def names(models_dir: Path) -> list[str]:
    """The models that have at least one complete version, by name."""
    if not models_dir.is_dir():
        return []
    return sorted(
        path.name for path in models_dir.iterdir() if NAME.fullmatch(path.name) and versions(models_dir, path.name)
    )


def aliases(models_dir: Path, name: str) -> dict[str, str]:
    """Version by alias; empty where there are none.

    Raises:
        StartupError: `aliases.json` is damaged; the text says what to do.
    """
    path = models_dir / name / ALIASES_FILE
    try:
        return _ALIASES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError:
        raise StartupError(f"{path} is damaged: remove it, then set the aliases again.") from None


def default_version(have: Sequence[str], named: Mapping[str, str]) -> str | None:
    """The version that answers where none is asked for: the alias `default`, else the highest; None where none is.

    Args:
        have: as `versions` gives them.
        named: as `aliases` gives them.
    """
    chosen = named.get(DEFAULT_ALIAS)
    return chosen if chosen in have else (have[-1] if have else None)


def read(models_dir: Path, name: str, version: str | None = None) -> tuple[Manifest, Path]:
    """The manifest and the path of `model.onnx`.

    Args:
        version: a version or an alias; the default version where None.

    Raises:
        StartupError: there is no such model or its `model.json` is damaged; the text says how to get it.
    """
    if not NAME.fullmatch(name):
        raise StartupError(f"{name!r} is not a model name: use lower-case letters, digits, '.', '_' and '-'.")
    have, chosen = versions(models_dir, name), version
    if version not in have:  # a number needs no aliases, so damaged ones do not stand in its way
        named = aliases(models_dir, name)
        chosen = default_version(have, named) if version is None else named.get(version)
    if chosen is None or chosen not in have:
        which = name if version is None else f"{name}@{version}"
        raise StartupError(f"No model {which} in {models_dir}: run `spotter models pull {name}`.")
    folder = models_dir / name / chosen
    try:
        manifest = Manifest.model_validate_json((folder / "model.json").read_bytes())
    except OSError as error:
        raise StartupError(f"{folder / 'model.json'} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise StartupError(
            f"{folder / 'model.json'} is damaged ({wrong_fields(error)}): pull or import the model again."
        ) from None
    _check_place(models_dir, folder, manifest, name, chosen)
    return manifest, folder / "model.onnx"


def _check_place(models_dir: Path, folder: Path, described: Manifest, name: str, version: str) -> None:
    """A version is what its folder says, and lies in the repository: whoever mounts that read-only has all of it so."""
    if (described.name, described.version) != (name, version):
        raise StartupError(
            f"{folder / 'model.json'} describes {described.name}@{described.version}: pull or import the model again."
        )
    root = models_dir.resolve()
    for path in folder.iterdir():
        if not path.resolve().is_relative_to(root):
            raise StartupError(f"{path} is a link that leaves the repository: put the file itself there.")


def find(models_dir: Path, reference: str) -> tuple[Manifest, Path]:
    """The same for `name`, `name@version` or `name@alias`. Raises as `read`."""
    name, at, version = reference.partition("@")
    return read(models_dir, name, version if at else None)


def wrong_fields(error: ValidationError) -> str:
    """What pydantic found wrong in a document, in one line: `field: reason; field: reason`."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'all'}: {item['msg']}" for item in error.errors())


_ALIASES = TypeAdapter(
    dict[Annotated[str, Field(pattern=f"^{ALIAS.pattern}$")], Annotated[str, Field(pattern=f"^{VERSION.pattern}$")]]
)

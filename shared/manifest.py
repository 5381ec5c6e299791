"""The model contract on disk: what `model.json` says of the `model.onnx` beside it, and where both lie.

`zoo` writes these files, `worker` reads them; neither imports the other. Every model has one signature:

    in   images  (N, H, W, 3)  uint8    RGB frames of `frame.height` x `frame.width`, 0..255
    out  boxes   (N, A, 4)     float32  x1 y1 x2 y2, 0..1 of the frame
    out  scores  (N, A, C)     float32  probability per class

(float32 frames, still 0..255, where `interpolation` is darknet: rounding alone moves its confidences by up to 0.02),
or, for a model that suppresses overlaps by itself: `boxes (N, K, 4)`, `scores (N, K)`, `labels (N, K)` int64.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import StartupError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
VERSION = re.compile(r"[0-9]{1,9}")


Interpolation = Literal["linear", "darknet"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frame(_Frozen):
    """Size of the network's input in pixels."""

    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]


class Defaults(_Frozen):
    """Thresholds used where a request names none; 0..1."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.25
    iou: Annotated[float, Field(ge=0, le=1)] = 0.45


class Origin(_Frozen):
    """Where the model came from: addresses or package names, and the sha256 of each source file by name."""

    source: str
    files: dict[str, str] = {}
    licence: str


class Manifest(_Frozen):
    """`model.json`.

    Attributes:
        sha256: of `model.onnx`, lower-case hex; checked when a worker loads the model.
        resize: `stretch` scales both axes on their own (AlexeyAB's darknet, OpenCV DNN); `letterbox` keeps the
            aspect and pads with grey (the original darknet).
        interpolation: `linear` samples at half-pixel centres (OpenCV `INTER_LINEAR`); `darknet` aligns the corners
            (darknet `resize_image`) and keeps fractions.
        nms_in_graph: whether the second form of the signature holds.
    """

    name: Annotated[str, Field(pattern=NAME.pattern)]
    version: Annotated[str, Field(pattern=VERSION.pattern)]
    sha256: Annotated[str, Field(pattern=r"[0-9a-f]{64}")]
    labels: tuple[str, ...]
    frame: Frame
    resize: Literal["stretch", "letterbox"] = "stretch"
    interpolation: Interpolation = "linear"
    nms_in_graph: bool = False
    defaults: Defaults = Defaults()
    precision: dict[str, str] = {}
    origin: Origin


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


def read(models_dir: Path, name: str, version: str | None = None) -> tuple[Manifest, Path]:
    """The manifest and the path of `model.onnx`; the highest version where none is named.

    Raises:
        StartupError: there is no such model or its `model.json` is damaged; the text says how to get it.
    """
    if not NAME.fullmatch(name):
        raise StartupError(f"{name!r} is not a model name: use lower-case letters, digits, '.', '_' and '-'.")
    have = versions(models_dir, name)
    chosen = version or (have[-1] if have else None)
    if chosen is None or chosen not in have:
        which = name if version is None else f"{name}@{version}"
        raise StartupError(f"No model {which} in {models_dir}: run `spotter models pull {name}`.")
    folder = models_dir / name / chosen
    try:
        manifest = Manifest.model_validate_json((folder / "model.json").read_bytes())
    except OSError as error:
        raise StartupError(f"{folder / 'model.json'} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'all'}: {item['msg']}" for item in error.errors())
        raise StartupError(f"{folder / 'model.json'} is damaged ({wrong}): pull or import the model again.") from None
    return manifest, folder / "model.onnx"

"""A converted model -> `<models_dir>/<name>/<version>/{model.onnx, model.json}`, whole or not at all.

Writes what `shared.manifest` reads. Knows neither families nor sources. A version never changes once it is there: other
content becomes the next version, the same content again is the version that is there already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol

import onnx
from pydantic import ValidationError

from shared import manifest
from shared.errors import StartupError
from shared.manifest import Agreement, Manifest, Traits, Variant
from zoo.errors import ContractError, RepositoryError
from zoo.graph import IMAGES

_UNFINISHED = ".new-"
_ABANDONED_AFTER_S = 3600.0
_MAX_RACES = 100


def install(
    models_dir: Path,
    name: str,
    model: onnx.ModelProto,
    traits: Traits,
) -> Manifest:
    """Put a model into the repository and return its manifest, with the version that it got.

    The files are written into a temporary folder beside their place, checked, and renamed into it in one step.

    Raises:
        ContractError: the model is not valid ONNX or has another signature than `shared.manifest` says.
        RepositoryError: the name is not allowed, or the folder cannot be written.
    """
    if not manifest.NAME.fullmatch(name):
        raise RepositoryError(f"{name!r} is not a model name: use lower-case letters, digits, '.', '_' and '-'.")
    _check_signature(model, traits)
    with _unfinished(models_dir, name) as folder:
        sha256 = _write_model(folder / "model.onnx", model)
        made = Manifest(name=name, version="1", sha256=sha256, **dict(traits))
        return _existing(models_dir, made) or _publish(models_dir, folder, made)


class Measured(Protocol):
    """What `shared.manifest.Agreement` keeps of a comparison with fp32; see there."""

    @property
    def pictures(self) -> int: ...
    @property
    def detections(self) -> int: ...
    @property
    def matched(self) -> float: ...
    @property
    def confidence_drift(self) -> float: ...


def install_variant(
    models_dir: Path,
    base: Manifest,
    precision: Literal["fp16", "bf16", "int8"],
    graph: Path | None,
    measured: Measured,
    preferred_on: str | None = None,
) -> Manifest:
    """Make a new version of a model that is there, with one more variant; what does not change is linked, not copied.

    Args:
        base: the version that the variant was made from; its other variants are kept.
        graph: the variant's file; None where `model.onnx` itself runs in this precision.
        measured: how the variant agrees with fp32.
        preferred_on: the provider on which `auto` shall take this variant, if it agrees well enough.

    Raises:
        ContractError: the graph is not valid ONNX or has another signature than the model.
        RepositoryError: the version is not there any more, or the folder cannot be written.
    """
    source, agreement = models_dir / base.name / base.version, Agreement.model_validate(measured, from_attributes=True)
    others = {kind: one for kind, one in base.variants.items() if kind != precision}
    wishes = {provider: wish for provider, wish in base.precision.items() if wish != precision}
    if preferred_on and agreement.close:
        wishes[preferred_on] = precision
    with _unfinished(models_dir, base.name) as folder:
        _link(source / "model.onnx", folder / "model.onnx")
        for kind, one in others.items():
            if one.sha256 != base.sha256:
                _link(source / f"model.{kind}.onnx", folder / f"model.{kind}.onnx")
        sha256 = base.sha256
        if graph is not None:
            model = onnx.load(graph)
            _check_signature(model, base)
            sha256 = _write_model(folder / f"model.{precision}.onnx", model)
        variants = {**others, precision: Variant(sha256=sha256, agreement=agreement)}
        made = base.model_copy(update={"variants": variants, "precision": wishes})
        return _existing(models_dir, made) or _publish(models_dir, folder, made)


@contextmanager
def _unfinished(models_dir: Path, name: str) -> Iterator[Path]:
    """A folder beside the model's versions, for `_publish` to rename; else it is gone at the end.

    Raises:
        RepositoryError: the folder cannot be written.
    """
    folder = models_dir / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise RepositoryError(f"{models_dir} cannot hold model {name}: {error.strerror or error}.") from error


def _link(source: Path, target: Path) -> None:
    """One file under two names; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _check_signature(model: onnx.ModelProto, traits: Traits) -> None:
    float32, int64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    frame, classes = traits.frame, len(traits.labels)
    expected: dict[str, tuple[int, tuple[object, ...]]] = {
        "images": (IMAGES[traits.interpolation], (..., frame.height, frame.width, 3)),
        "boxes": (float32, (..., ..., 4)),
        "scores": (float32, (..., ...) if traits.single_label else (..., ..., classes)),
    }
    if traits.single_label:
        expected["labels"] = (int64, (..., ...))
    values = {value.name: value.type.tensor_type for value in (*model.graph.input, *model.graph.output)}
    if set(values) != set(expected):
        raise ContractError(f"The model has {sorted(values)} as inputs and outputs, not {sorted(expected)}.")
    for name, (dtype, shape) in expected.items():
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in values[name].shape.dim]
        fits = len(sizes) == len(shape) and all(want in (..., have) for want, have in zip(shape, sizes, strict=True))
        if values[name].elem_type != dtype or not fits:
            raise ContractError(f"{name} of the model has shape {sizes} or a type that the contract does not allow.")


def _write_model(path: Path, model: onnx.ModelProto) -> str:
    data = model.SerializeToString(deterministic=True)
    _write(path, data)
    sha256 = hashlib.sha256(data).hexdigest()
    del data
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ContractError(f"The model is not valid ONNX: {error}.") from None
    return sha256


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _existing(models_dir: Path, made: Manifest) -> Manifest | None:
    """The newest version with the same content, wherever it came from."""
    for version in reversed(manifest.versions(models_dir, made.name)):
        try:
            there, _ = manifest.read(models_dir, made.name, version)
        except StartupError:
            continue  # damaged: it is not the same content, and it stays as it is
        if there == made.model_copy(update={"version": there.version, "origin": there.origin}):
            return there
    return None


def _publish(models_dir: Path, unfinished: Path, made: Manifest) -> Manifest:
    """Rename the folder to the next free version; where somebody takes that number meanwhile, to the one after."""
    folder = models_dir / made.name
    for _ in range(_MAX_RACES):
        taken = [int(path.name) for path in folder.iterdir() if manifest.VERSION.fullmatch(path.name)]
        try:
            numbered = made.model_copy(update={"version": str(max(taken, default=0) + 1)})
            Manifest.model_validate(numbered.model_dump())
        except ValidationError:
            break
        _write(unfinished / "model.json", (numbered.model_dump_json(indent=2) + "\n").encode())
        try:
            unfinished.chmod(0o755)  # mkdtemp makes it private; a worker may run as another user
            unfinished.rename(folder / numbered.version)
        except OSError:
            if (folder / numbered.version).exists():
                continue
            raise
        return numbered
    raise RepositoryError(f"{folder} has no free version number.")


def _sweep(folder: Path) -> None:
    """Remove what an install left behind that was killed before its rename."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another install has just come to its end
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(path, ignore_errors=True)

"""The repository as people look at it: which models are here, and what one of them is. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared import manifest
from shared.errors import StartupError
from shared.manifest import Agreement, Manifest
from zoo.errors import RepositoryError

_SHOWN_LABELS = 12


@dataclass(frozen=True)
class Entry:
    """One model on disk.

    Attributes:
        versions: complete ones, oldest first; at least one.
        default: the version that answers where none is named.
        aliases: version by alias.
    """

    name: str
    versions: tuple[str, ...]
    default: str
    aliases: dict[str, str]


def entries(models_dir: Path) -> list[Entry]:
    """Every model on disk, by name.

    Raises:
        RepositoryError: the aliases of a model are damaged.
    """
    found = []
    for name in manifest.names(models_dir):
        have = manifest.versions(models_dir, name)
        try:
            named = manifest.aliases(models_dir, name)
        except StartupError as error:
            raise RepositoryError(error.detail) from None
        found.append(Entry(name, tuple(have), manifest.default_version(have, named) or have[-1], named))
    return found


def look(models_dir: Path, reference: str) -> Manifest:
    """The manifest of `name`, `name@version` or `name@alias`.

    Raises:
        RepositoryError: there is no such model, or it is damaged.
    """
    try:
        return manifest.find(models_dir, reference)[0]
    except StartupError as error:
        raise RepositoryError(error.detail) from None


def facts(model: Manifest) -> list[tuple[str, str]]:
    """What to know of a model, as (heading, text), most important first."""
    more = len(model.labels) - _SHOWN_LABELS
    labels = ", ".join(model.labels[:_SHOWN_LABELS]) + (f" and {more} more" if more > 0 else "")
    padded = "" if model.resize == "stretch" else f", padded with grey {model.padding:g}"
    rows = [
        ("family", model.family),
        ("labels", f"{len(model.labels)}: {labels}"),
        ("frame", f"{model.frame.width} x {model.frame.height}, {model.resize}{padded}, {model.interpolation}"),
        ("answers", "one label a box" if model.single_label else "a probability for each label"),
        ("overlaps", "left out by the model" if model.suppressed else "left out by the worker (NMS)"),
        ("thresholds", f"confidence {model.defaults.threshold:g}, overlap {model.defaults.iou:g}"),
        ("batch", "any" if model.max_batch is None else f"at most {model.max_batch}"),
    ]
    rows += [(f"variant {precision}", _agreement(one.agreement)) for precision, one in model.variants.items()]
    rows += [(f"precision on {provider}", wanted) for provider, wanted in model.precision.items()]
    rows += [("source", model.origin.source), ("licence", model.origin.licence)]
    rows += [(f"sha256 of {name}", digest) for name, digest in model.origin.files.items()]
    return [*rows, ("sha256 of model.onnx", model.sha256)]


def _agreement(found: Agreement) -> str:
    return (
        f"{found.matched:.1%} of {found.detections} detections matched, confidence moves by "
        f"{found.confidence_drift:.4f} ({found.pictures} pictures)"
    )

"""Files on this machine -> a model in the repository: convert, label, install. Nothing half-done stays visible.

Knows the order of the steps and what the user may wish otherwise; each step is a module of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from shared.manifest import Defaults, Frame, Interpolation, Manifest, Origin, Resize, Traits
from zoo import adapt, darknet, download, names, repository
from zoo.errors import CfgError, NamesError, ZooError
from zoo.network import Hierarchy
from zoo.topologies import TOPOLOGIES

MAX_CFG_BYTES = 1 << 20


@dataclass(frozen=True)
class Wishes:
    """What the user wants otherwise than the model's family has it; None: as the family has it.

    Attributes:
        names: file of the labels, one a line, in the order of the classes.
        frame: size of the network's input in pixels, where the network leaves a choice.
        threshold: smallest confidence where a request names none, 0..1.
        iou: overlap above which the weaker of two boxes falls, likewise.
        max_batch: pictures in one run; 1 for a graph that says it takes any number but does not.
        licence: in the user's words.
    """

    names: Path | None = None
    frame: Frame | None = None
    resize: Resize | None = None
    threshold: float | None = None
    iou: float | None = None
    max_batch: int | None = None
    licence: str = "not stated"


@dataclass(frozen=True)
class DarknetFiles:
    """A darknet network as its files; exactly one of `cfg` and `topology`.

    Attributes:
        topology: key of `zoo.topologies.TOPOLOGIES`, in place of a cfg file.
        data: `.data` file that names the labels.
        tree: `.tree` file, where the one that the cfg names does not lie beside it.
        mapping: `.map` file: the classes of the tree that are reported, each with its own probability.
    """

    weights: Path
    cfg: Path | None = None
    topology: str | None = None
    data: Path | None = None
    tree: Path | None = None
    mapping: Path | None = None
    interpolation: Interpolation = "linear"
    tree_threshold: float = 0.5


def import_darknet(models_dir: Path, name: str, files: DarknetFiles, wishes: Wishes) -> Manifest:
    """Convert a darknet network, and put it into the repository.

    Raises:
        ZooError: a file is missing, damaged or not supported, or the labels do not fit; the text says which and why.
    """
    cfg = _cfg_text(files)
    said = names.data(files.data) if files.data else names.Data(None, None)
    hierarchy = _hierarchy(cfg, files)
    converted = darknet.convert(cfg, files.weights, files.interpolation, hierarchy=hierarchy, frame=wishes.frame)
    names_file = wishes.names or said.names
    traits = Traits(
        family="darknet",
        labels=_labels(names_file, converted.classes, hierarchy),
        frame=converted.frame,
        resize=wishes.resize or converted.resize,
        interpolation=files.interpolation,
        single_label=converted.single_label,
        max_batch=wishes.max_batch,
        defaults=_defaults(Defaults(), wishes),
        origin=_origin(
            files.topology, (files.cfg, files.weights, files.data, files.tree, files.mapping, names_file), wishes
        ),
    )
    return repository.install(models_dir, name, converted.model, traits)


def import_onnx(models_dir: Path, name: str, path: Path, head: str | None, wishes: Wishes) -> Manifest:
    """Wrap somebody else's ONNX detector, and put it into the repository.

    Args:
        head: a key of `zoo.adapt.HEADS`; recognised where None.

    Raises:
        ZooError: the file is missing, unsafe or of no known form, or the labels do not fit; the text says which.
    """
    labels = names.labels(wishes.names) if wishes.names else None
    found = adapt.adapt(
        path, head=head, frame=wishes.frame, labels=labels, resize=wishes.resize, max_batch=wishes.max_batch
    )
    traits = found.traits(_origin(None, (path, wishes.names), wishes))
    traits = traits.model_copy(update={"defaults": _defaults(traits.defaults, wishes)})
    return repository.install(models_dir, name, found.model, traits)


def frame(text: str) -> Frame:
    """`640x480` -> width 640, height 480; `416` -> a square.

    Raises:
        ZooError: not of that form, or outside 1..8192.
    """
    found = re.fullmatch(r"(\d{1,4})(?:[xX](\d{1,4}))?", text)
    try:
        width, height = (found[1], found[2] or found[1]) if found else ("", "")
        return Frame.model_validate({"width": width, "height": height})
    except ValidationError:
        raise ZooError(f"{text!r} is no frame: give width and height in pixels, 1 to 8192, such as 640x480.") from None


def _cfg_text(files: DarknetFiles) -> str:
    if (files.cfg is None) == (files.topology is None):
        raise CfgError("Give either a cfg file or the name of a topology.")
    if files.topology is not None:
        if files.topology not in TOPOLOGIES:
            raise CfgError(f"There is no topology {files.topology!r}; there are {', '.join(sorted(TOPOLOGIES))}.")
        return TOPOLOGIES[files.topology]()
    path = files.cfg
    assert path is not None
    try:
        if path.stat().st_size > MAX_CFG_BYTES:
            raise CfgError(f"{path.name} has more than {MAX_CFG_BYTES} bytes: this is no cfg.")
        return path.read_text(encoding="utf-8-sig", errors="replace")  # comments may be in any encoding
    except OSError as error:
        raise CfgError(f"{path} cannot be read: {error.strerror}.") from None


def _hierarchy(cfg: str, files: DarknetFiles) -> Hierarchy | None:
    if files.tree is not None:
        tree = names.tree(files.tree)
    elif files.cfg is None or (found := darknet.tree_of(cfg, files.cfg)) is None:
        if files.mapping is not None:
            raise CfgError("A map is for networks with a label tree.")
        return None
    else:
        tree = found
    return Hierarchy(tree, files.tree_threshold, names.mapping(files.mapping) if files.mapping else ())


def _labels(path: Path | None, classes: int, hierarchy: Hierarchy | None) -> tuple[str, ...]:
    """The labels of a file; of mapped classes those at their places, where the file has the whole tree's."""
    if path is None:
        raise NamesError(f"The network has {classes} classes; say what they are called: --names FILE, one a line.")
    found = names.labels(path)
    if hierarchy is not None and hierarchy.mapped and len(found) == len(hierarchy.tree) != classes:
        return tuple(found[index] for index in hierarchy.mapped)
    if len(found) != classes:
        raise NamesError(f"{path.name} has {len(found)} labels, the network has {classes} classes.")
    return found


def _defaults(own: Defaults, wishes: Wishes) -> Defaults:
    """The thresholds of the family, with the user's in front."""
    wanted = {"threshold": wishes.threshold, "iou": wishes.iou}
    return own.model_copy(update={key: value for key, value in wanted.items() if value is not None})


def _origin(topology: str | None, files: Iterable[Path | None], wishes: Wishes) -> Origin:
    """The files by name and sha256; of the folders on this machine nothing is kept."""
    used = [file for file in files if file is not None]
    try:
        digests = {file.name: download.sha256_of(file) for file in used}
    except OSError as error:
        raise ZooError(f"{error.filename} cannot be read: {error.strerror}.") from None
    source = "imported: " + ", ".join([*([f"topology {topology}"] if topology else []), *digests])
    return Origin(source=source, files=digests, licence=wishes.licence)

"""`spotter models optimise`: a model of the repository -> the same in another precision, measured against fp32 here.

Makes the variant with the zoo, runs it with a worker's own code, and puts both into a new version. Prints nothing.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spotter.agreement import Agreement, compare, search_from
from spotter.errors import StackError
from spotter.job import Picture
from spotter.local import Local, Outcome, lacking

Precision = Literal["fp16", "bf16", "int8"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
MOST_PICTURES = 500
ENOUGH_TO_SPLIT = 20
"""From so many on, every fourth picture is kept from the calibration, and the comparison sees only those."""
RUNS, ROUNDS = 30, 3
"""Timed runs of each precision, at least, and in how many turns. The fastest one counts: what slows a run is not its
precision."""
WORTH = 1.1
"""`auto` shall take int8 where it is so many times as fast as what it takes now."""


@dataclass(frozen=True)
class Optimised:
    """What came of it.

    Attributes:
        version: of the model, that has the variant.
        provider: that ran it.
        agreement: with fp32.
        close: whether it agrees well enough for `auto`.
        taken: whether `auto` takes it on this machine.
        split: whether other pictures were compared than calibrated with.
        milliseconds: fastest run of one picture, by precision: fp32, what `auto` took before, and this one.
    """

    name: str
    version: str
    provider: str
    agreement: Agreement
    close: bool
    taken: bool
    split: bool
    milliseconds: Mapping[str, float]


def pictures_in(folder: Path) -> list[str]:
    """Pictures in the folder and below, by their names' endings, in order; at most `MOST_PICTURES`, evenly chosen.

    Raises:
        StackError: there is none.
    """
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise StackError(f"There are no pictures in {folder}.")
    step = max(1.0, len(found) / MOST_PICTURES)
    return [found[int(k * step)] for k in range(min(len(found), MOST_PICTURES))]


def optimise(
    models_dir: Path, reference: str, precision: Precision, pictures: Sequence[str], environ: Mapping[str, str],
    timeout_s: float,
) -> Optimised:  # fmt: skip
    """Make and measure the variant, and install it as a new version of the model.

    Args:
        reference: `name`, `name@version` or `name@alias`.
        pictures: paths; for int8 they also calibrate.
        environ: of the child processes.
        timeout_s: longest run of one child.

    Raises:
        StackError: there is no such model, it cannot be had in this precision, the variant cannot run here, or fp32
            finds nothing in the pictures.
    """
    from zoo.errors import ZooError

    try:
        return _optimise(models_dir, reference, precision, pictures, environ, timeout_s)
    except ZooError as error:
        raise StackError(error.detail) from None
    except ModuleNotFoundError as error:
        raise StackError(lacking(str(error))) from None


def _optimise(
    models_dir: Path, reference: str, precision: Precision, pictures: Sequence[str], environ: Mapping[str, str],
    timeout_s: float,
) -> Optimised:  # fmt: skip
    from zoo import repository, shelf
    from zoo.precision.make import MAKERS, make

    base = shelf.look(models_dir, reference)
    local = Local(f"{base.name}@{base.version}", models_dir, environ, timeout_s)
    split = precision == "int8" and len(pictures) >= ENOUGH_TO_SPLIT
    compared = pictures[::4] if split else pictures
    with tempfile.TemporaryDirectory(prefix="spotter-optimise-") as folder:
        graph = Path(folder) / f"model.{precision}.onnx" if precision in MAKERS else None
        if graph is not None:
            frames = None
            if precision == "int8":
                frames = Path(folder) / "frames.npy"
                local.frames([one for k, one in enumerate(pictures) if not split or k % 4], frames)
            make(precision, models_dir / base.name / base.version / "model.onnx", graph, frames)
        found = _measure(local, base.defaults.threshold, precision, graph, compared)
        made = repository.install_variant(
            models_dir, base, precision, graph, found.agreement,
            preferred_on=found.provider if precision == "int8" and found.faster else None,
        )  # fmt: skip
    now = Local(f"{made.name}@{made.version}", models_dir, environ, timeout_s).detect(compared[:1], precision="auto")
    variant = made.variants[precision]
    return Optimised(
        name=made.name, version=made.version, provider=found.provider, agreement=found.agreement,
        close=variant.agreement.close, taken=_ran(now)[1] == precision, split=split, milliseconds=found.milliseconds,
    )  # fmt: skip


@dataclass(frozen=True)
class _Measured:
    agreement: Agreement
    provider: str
    faster: bool
    milliseconds: Mapping[str, float]


def _measure(local: Local, threshold: float, precision: str, graph: Path | None, pictures: Sequence[str]) -> _Measured:
    """Run fp32, what `auto` takes now, and the variant by turns on the same pictures."""
    many = list(pictures) * math.ceil(RUNS / ROUNDS / len(pictures))
    exact = _found(local.detect(pictures, precision="fp32"), threshold)
    lower = search_from(exact, threshold)
    full, before, after = [], [], []
    for _ in range(ROUNDS):
        full += local.detect(many, precision="fp32")
        before += local.detect(many, precision="auto")
        after += local.detect(many, threshold=lower, precision=precision, trial=graph)
    provider, _ = _ran(after)
    milliseconds = {"fp32": _fastest_ms(full), _ran(before)[1]: _fastest_ms(before), precision: _fastest_ms(after)}
    faster = _ran(before)[0] == provider and milliseconds[precision] * WORTH <= _fastest_ms(before)
    if precision == "fp16" and provider == "cpu" and graph is not None:
        from zoo.precision.make import emulate_half

        emulated = graph.with_name("emulated.onnx")
        emulate_half(local.models_dir / local.model.replace("@", "/") / "model.onnx", emulated)
        after = local.detect(pictures, threshold=lower, precision=precision, trial=emulated)
    agreement = compare(exact, [one.picture for one in after[: len(pictures)]], threshold)
    return _Measured(agreement, provider, faster, milliseconds)


def _found(outcomes: Sequence[Outcome], threshold: float) -> list[Picture]:
    """The pictures, if there is something to compare with."""
    failed = next((one for one in outcomes if one.picture.status != "succeeded"), None)
    if failed is not None:
        why = failed.picture.error.detail if failed.picture.error else failed.picture.status
        raise StackError(f"{failed.name}: {why}")
    if not any(one.picture.detections for one in outcomes):
        raise StackError(
            f"The model finds nothing in these pictures at its threshold of {threshold:g}, so nothing can be compared:"
            " choose pictures of what it knows."
        )
    return [one.picture for one in outcomes]


def _ran(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Provider and precision."""
    timings = outcomes[0].picture.timings
    return str(timings["provider"]), str(timings["precision"])


def _fastest_ms(outcomes: Sequence[Outcome]) -> float:
    return min(float(one.picture.timings["infer_ms"]) for one in outcomes)

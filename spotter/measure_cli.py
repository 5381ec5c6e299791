"""`spotter models optimise` and `check`: what another precision, or another version, does to the results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from spotter import optimise as optimising
from spotter import record as records
from spotter import show
from spotter.agreement import Agreement
from spotter.errors import StackError
from spotter.local import Local
from spotter.models_cli import ModelsDir

SAMPLE = Path(__file__).with_name("sample") / "dog.jpg"
FAILED = 1

Reference = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A version or an alias after the @.")]
Seconds = Annotated[float, typer.Option(min=1, help="Longest wait for one run of the model, in seconds.")]


def optimise(
    reference: Reference,
    precision: Annotated[Literal["fp16", "bf16", "int8"], typer.Option(help="The arithmetic to add.")],
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of typical pictures: to compare with fp32, and to calibrate int8.")
    ] = None,
    models_dir: ModelsDir = Path("models"),
    timeout_s: Seconds = 3600,
) -> None:
    """Add a precision to a model, as a new version, and say how far its results move."""
    if pictures is None and precision == "int8":
        raise StackError(
            "int8 is calibrated on pictures of the kind that will be served: name a folder with --pictures."
        )
    found = optimising.pictures_in(pictures) if pictures else [str(SAMPLE)]
    made = optimising.optimise(models_dir, reference, precision, found, os.environ, timeout_s)
    rows = [(kind, f"{value:.1f}") for kind, value in made.milliseconds.items()]
    show.console().print(show.rows(("precision", f"ms a picture, {made.provider}"), rows))
    _say(f"{made.name}@{made.version} has {precision}, and fp32 as before. Against fp32: {_sentence(made.agreement)}.")
    for note in _notes(made, precision):
        _say(note)


def check(
    reference: Reference,
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="[PICTURES...]", help="Files, where the record does not name them.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Recorded results: JSON lines of detect --json, or a job.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Write such a record, and compare nothing.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the record; default: the model's own.")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16, fp16 or int8.")] = "auto",
    least_matched: Annotated[float, typer.Option(min=0, max=1, help="Part to be found again.")] = 0.95,
    most_drift: Annotated[float, typer.Option(min=0, max=1, help="Mean change of confidence.")] = 0.02,
    models_dir: ModelsDir = Path("models"),
    timeout_s: Seconds = 3600,
) -> None:
    """Hold a model against recorded results; exit code 1 where it says something else."""
    local = Local(reference, models_dir, os.environ, timeout_s)
    if (against is None) == (record is None):
        raise StackError("Give either --against, a record to compare with, or --record, one to write.")
    if record is not None:
        outcomes = local.detect(pictures or [str(SAMPLE)], threshold=threshold, precision=precision)
        records.write(record, outcomes)
        _say(f"{record} holds what {reference} finds in {len(outcomes)} pictures")
        return
    assert against is not None
    limits = records.Tolerances(least_matched, most_drift)
    recorded = records.read(against, pictures or ())
    lowest = records.default_threshold(models_dir, reference) if threshold is None else threshold
    found = records.check(local, recorded, lowest, precision)
    for index in found.different:
        _say(f"{recorded[index].name}: something is missing or new")
    good = limits.hold(found)
    _say(f"{reference} {'agrees' if good else 'does NOT agree'} with {against}: {_sentence(found)}")
    if not good:
        raise typer.Exit(FAILED)


def _sentence(found: Agreement) -> str:
    return (
        f"{found.matched:.1%} of {found.detections} detections in {found.pictures} pictures found again, {found.extra}"
        f" new ones, confidence moves by {found.confidence_drift:.4f} on average and {found.largest_drift:.4f} at most"
    )


def _notes(made: optimising.Optimised, precision: str) -> list[str]:
    """What to know before relying on it."""
    notes = []
    if made.taken:
        notes.append(f"precision auto takes {precision} on {made.provider} from now on.")
    elif not made.close:
        notes.append(f"precision auto passes it by: that is too far from fp32. SPOTTER_PRECISION={precision} takes it.")
    elif precision == "fp16" and made.provider == "cpu":
        notes.append(
            "There is no GPU here: fp16 was emulated, and its time says nothing. precision auto takes it where CUDA is."
        )
    else:
        notes.append(
            f"precision auto stays as it is, and is as fast, or nearly. SPOTTER_PRECISION={precision} takes this one."
        )
    if precision == "int8" and not made.split:
        notes.append(
            f"Calibrated and compared with the same {made.agreement.pictures} pictures; with"
            f" {optimising.ENOUGH_TO_SPLIT} or more, some are kept for the comparison. Hundreds are good."
        )
    elif made.agreement.pictures < optimising.ENOUGH_TO_SPLIT:
        notes.append(f"{made.agreement.pictures} pictures prove little: name a folder of more with --pictures.")
    return notes


def _say(text: str) -> None:
    show.console(sys.stderr).print(text, soft_wrap=True, markup=False)

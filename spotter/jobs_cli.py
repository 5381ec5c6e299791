"""`spotter jobs ...`: look at jobs of a running service, follow them, end them, bring their results here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from spotter import answer, show
from spotter.client import ExportFormat, Format, Spotter
from spotter.following import Event
from spotter.job import Job

jobs = typer.Typer(no_args_is_help=True, help="Jobs of a running service.")

FAILED = 1
HEADINGS = ("job", "status", "model", "pictures", "created (UTC)")

Url = Annotated[str, typer.Option(envvar="SPOTTER_URL", help="Where the service is.")]
HERE = "http://127.0.0.1:8000"
Id = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
To = Annotated[Path | None, typer.Option(help="File or folder; default: standard output.")]


@jobs.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed, canceled, expired.")] = None,
    model: Annotated[str | None, typer.Option(help="NAME, or NAME@VERSION.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    url: Url = HERE,
) -> None:
    """Show the newest jobs."""
    filters = {name: value for name, value in {"status": status, "model": model}.items() if value}
    pairs = dict(_pair(one) for one in metadata or ())
    with Spotter(url) as service:
        found = list(service.jobs(limit, pairs, **filters))
    for line in _columns([HEADINGS, *map(_row, found)]):
        typer.echo(line)


@jobs.command("show")
def show_(
    job: Id,
    form: Annotated[Format | None, typer.Option("--format", help="Results as another system writes them.")] = None,
    to: To = None,
    url: Url = HERE,
) -> None:
    """Show a job as JSON, or its results in another form."""
    with Spotter(url) as service:
        found = service.job(job)
        if form is None:
            text = json.dumps(found.raw, indent=2) + "\n"
            to.write_text(text) if to else typer.echo(text, nl=False)
        else:
            answer.give(service, found, form, to)


@jobs.command()
def export(
    job: Id,
    form: Annotated[ExportFormat, typer.Option("--format", help="Of the data set.")],
    to: To = None,
    url: Url = HERE,
) -> None:
    """Bring all results of an ended job as one data set."""
    with Spotter(url) as service:
        answer.give(service, service.job(job), form, to)


@jobs.command()
def watch(
    job: Id,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest wait for the end, in seconds.")] = 86_400,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    url: Url = HERE,
) -> None:
    """Show what becomes of a job while it does. Exit code 1 where it does not succeed."""
    last = None
    with Spotter(url) as service:
        for last in service.follow(job, timeout_s=timeout_s):
            typer.echo(json.dumps({"event": last.name, **last.data}) if as_json else _line(last))
    if last is None or last.name != "succeeded":
        raise typer.Exit(FAILED)


@jobs.command()
def cancel(job: Id, url: Url = HERE) -> None:
    """End a job at once."""
    with Spotter(url) as service:
        _say(service.cancel(job))


@jobs.command()
def retry(job: Id, url: Url = HERE) -> None:
    """Try again what did not succeed."""
    with Spotter(url) as service:
        _say(service.retry(job))


@jobs.command()
def delete(job: Id, url: Url = HERE) -> None:
    """Leave nothing of a job: its results and pictures are gone."""
    with Spotter(url) as service:
        service.delete(job)
    show.say(f"{job} is deleted.")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text} is not KEY=VALUE", param_hint="--metadata")
    return name, value


def _row(job: Job) -> tuple[str, ...]:
    counts = job.counts
    pictures = str(counts.total) + (f", {counts.failed} failed" if counts.failed else "")
    return job.id, job.status, job.model, pictures, f"{job.created_at:%m-%d %H:%M:%S}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines without frames, so that ids stay whole in a narrow window and in a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _say(job: Job) -> None:
    counts = job.counts
    show.say(f"{job.id} is {job.status}: {counts.succeeded} of {counts.total} pictures succeeded.")


def _line(event: Event) -> str:
    """`12:30:01 running`, or of a picture its name and how often which label was found in it."""
    picture = event.picture
    if picture is None:
        counts = event.data.get("counts")
        told = f"  {counts['succeeded']} of {counts['total']} pictures succeeded" if counts else ""
        return f"{event.data['at'][11:19]}  {event.name}{told}"
    name = picture.id or f"picture {picture.index}"
    if picture.error:
        return f"          {name}: {picture.error.detail} ({picture.error.code})"
    labels = [found.label for found in picture.detections]
    counted = ", ".join(f"{labels.count(label)} {label}" for label in dict.fromkeys(labels))
    return f"          {name}: {counted or 'nothing found'}"

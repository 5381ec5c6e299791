"""The `spotter` command: arguments in, tables and one-sentence errors out. Exit codes: 0 done, 1 failed, 2 no service.

Heavy modules are imported where a command needs them, so that `spotter --help` is quick and an installation without
the local stack or the zoo still detects.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spotter import answer, jobs_cli, keys_cli, measure_cli, models_cli, show
from spotter.client import Format, Spotter
from spotter.errors import SpotterClientError, SpotterUnreachable, StackError
from spotter.job import Job
from spotter.jobs_cli import HERE, Url
from spotter.models_cli import ModelsDir

DEFAULT_MODEL = "yolov3-tiny"
FAILED, NO_SERVICE = 1, 2

app = typer.Typer(name="spotter", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
models_cli.models.command()(measure_cli.optimise)
models_cli.models.command()(measure_cli.check)
app.add_typer(jobs_cli.jobs, name="jobs")
app.add_typer(models_cli.models, name="models")
app.add_typer(keys_cli.keys, name="keys")


@app.callback()
def spotter() -> None:
    """Find objects in pictures, asynchronously."""


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Folder for jobs and secrets.")] = Path("data"),
    models_dir: ModelsDir = Path("models"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    fsync: Annotated[
        Literal["everysec", "always"],
        typer.Option(envvar="SPOTTER_FSYNC", help="When the store's log reaches the disk: always is strict."),
    ] = "everysec",
) -> None:
    """Run the whole service here until Ctrl-C: store, API and worker."""
    from spotter import address, stack
    from spotter.supervisor import stopped_by_signals

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    log = show.prefixed(sys.stdout, colour)
    plan = stack.Plan(host, port, data, models_dir, workers, fsync=fsync)
    with stack.prepared(plan, os.environ, log) as running, stopped_by_signals(running.supervisor):
        if not address.is_loopback(host):
            log("stack", f"{host} is reached by others, so keys are asked for: `spotter keys create` makes one")
        running.supervisor.start()
        if not running.supervisor.stop_requested:
            log("stack", f"Spotter is up at {running.url}/ (for browsers and curl; Ctrl-C stops it)")
        running.supervisor.run()
        log("stack", "stopping: what runs is finished first; Ctrl-C again stops at once")
        if not running.supervisor.stop():
            raise StackError("Not every part ended in time, so it was killed; its work is taken up at the next start.")
    log("stack", "stopped")


@app.command()
def detect(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PATH_OR_URL...", help="Pictures, zips of pictures, http(s)://, s3://, s3://...jsonl."),
    ],
    url: Url = HERE,
    model: Annotated[str | None, typer.Option(help="Model; default: the service's own.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Smallest confidence, 0..1.")] = None,
    priority: Annotated[Literal["low", "normal", "high"] | None, typer.Option(help="Which comes first.")] = None,
    draw_to: Annotated[Path | None, typer.Option(help="Folder for annotated pictures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line instead of a table.")] = False,
    form: Annotated[Format | None, typer.Option("--format", help="One job, as another system writes it.")] = None,
    to: Annotated[Path | None, typer.Option(help="File or folder for --format; default: standard output.")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="One job, under this id: sent again, the same.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Or print the ids of the jobs at once.")] = True,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest wait for one job, in seconds.")] = 300,
    local: Annotated[bool, typer.Option("--local", help="Run the model here, without a service.")] = False,
    models_dir: ModelsDir = Path("models"),
) -> None:
    """Find objects in pictures: with a running service, or with --local by this machine alone."""
    findings: Sequence[show.Shown]
    if local:
        if form or job_id or priority or not wait:
            raise StackError("--format, --id, --priority and --no-wait need a service, so they go without --local.")
        from spotter.local import Local, detect_and_draw

        here = Local(model or DEFAULT_MODEL, models_dir, os.environ, timeout_s)
        outcomes, written = detect_and_draw(here, pictures, threshold, draw_to)
        findings, lines = outcomes, [one.line() for one in outcomes]
    else:
        from spotter import finding
        from spotter.demo import write_drawn

        request: dict[str, Any] = {"model": model, "threshold": threshold, "priority": priority}
        request |= {"draw": True if draw_to else None, "job_id": job_id}
        with Spotter(url) as service:
            if form or job_id:
                group = finding.one_job(pictures)
            if not wait:
                for group in list(finding.batches(pictures)):
                    print(finding.submit(service, group, **request).id)
                return
            if form:
                _print_as(service, finding.finished(service, group, timeout_s, **request), form, to)
                return
            found = list(finding.find(service, pictures, timeout_s, **request))
            written = write_drawn(service, found, draw_to) if draw_to else []
        findings, lines = found, [one.line() for one in found]
    _print(findings, lines if as_json else None, written)


def _print_as(service: Spotter, job: Job, form: Format, to: Path | None) -> None:
    answer.give(service, job, form, to)
    if job.status != "succeeded" or job.counts.failed:
        show.say(f"{job.id} is {job.status}: {job.counts.succeeded} of {job.counts.total} pictures succeeded.")
        raise typer.Exit(FAILED)


def _print(findings: Sequence[show.Shown], lines: Sequence[str] | None, written: Sequence[Path]) -> None:
    """The findings as lines or as a table, what was written, and the failures; exit code 1 where there are some."""
    if lines is not None:
        for line in lines:
            print(line)
    else:
        show.console().print(show.table(findings))
    for path in written:
        print(f"Annotated picture: {path}", file=sys.stdout if lines is None else sys.stderr)
    failed = [finding for finding in findings if finding.picture.status != "succeeded"]
    for finding in failed:
        show.say(f"{finding.name}: {show.reason(finding)}")
    if failed:
        raise typer.Exit(FAILED)


@app.command()
def demo(
    image: Annotated[Path | None, typer.Argument(help="A picture; default: the sample.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the annotated picture.")] = Path("out"),
    data: Annotated[Path | None, typer.Option(help="Data folder; default: a temporary one.")] = None,
    models_dir: ModelsDir = Path("models"),
) -> None:
    """Show it once: bring the model, start everything, detect in one picture, stop everything."""
    from spotter import demo as demonstration

    picture = image or demonstration.SAMPLE
    if not picture.is_file():
        raise StackError(f"There is no picture {picture}.")
    if not any((models_dir / DEFAULT_MODEL).glob("*/model.json")):
        models_cli.pull(DEFAULT_MODEL, models_dir)
    if not demonstration.run(picture, out, data, models_dir, os.environ):
        raise typer.Exit(FAILED)


def main() -> None:
    """The entry point of the `spotter` command."""
    try:
        app()
    except SpotterUnreachable as error:
        show.say(f"{error} Run `spotter up` first, or name a service with --url.")
        sys.exit(NO_SERVICE)
    except (SpotterClientError, StackError) as error:
        show.say(str(error))
        sys.exit(FAILED)
    except OSError as error:
        show.say(f"{error.filename or 'a file'}: {error.strerror or error}.")
        sys.exit(FAILED)

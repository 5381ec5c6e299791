"""An ended job, as another system writes its results -> a file, or standard output. For the commands."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import get_args

from spotter.client import ExportFormat, Format, LineFormat, Spotter
from spotter.errors import StackError
from spotter.job import Job

MOST_INLINE = 100
"""Pictures of a job that the service shows in one answer."""


def give(service: Spotter, job: Job, form: Format, to: Path | None) -> None:
    """A data set where the form has one; else JSON, of a job too large for one document a line for each picture.

    Args:
        to: the file or folder; None: standard output.

    Raises:
        StackError: an archive was to be shown on a terminal.
        OSError: a file cannot be written. SpotterClientError: the service refuses or is away.
    """
    if form in get_args(ExportFormat) and (job.counts.total > 1 or form in ("coco", "csv")):
        _data_set(service, job, form, to)  # type: ignore[arg-type]
        return
    if form in get_args(LineFormat) and job.counts.total > MOST_INLINE:
        text = "".join(json.dumps(line) + "\n" for line in service.lines(job.id, form))  # type: ignore[arg-type]
    else:
        answer = service.formatted(job.id, form)
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=2) + "\n"
    if to is None:
        sys.stdout.write(text)
    else:
        (to / f"{job.id}.{form}" if to.is_dir() else to).write_text(text)


def _data_set(service: Spotter, job: Job, form: ExportFormat, to: Path | None) -> None:
    if to is not None:
        service.export(job.id, form, to)
        return
    if form in ("yolo", "voc") and sys.stdout.isatty():
        raise StackError(f"{form} of several pictures is a zip: name a file with --to.")
    with (
        tempfile.TemporaryDirectory(prefix="spotter-") as folder,
        service.export(job.id, form, folder).open("rb") as file,
    ):
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()

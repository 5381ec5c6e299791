"""What the commands print: tables of findings, and the prefixed lines of the stack's parts. No decisions here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from spotter.child import Log
from spotter.job import Picture
from spotter.sending import is_address

COLOURS = {"stack": "1", "valkey": "35", "api": "36", "worker": "32"}  # ANSI SGR; others are blue
OTHER_COLOUR = "34"


class Shown(Protocol):
    """One picture's outcome under the name that the user gave it, wherever it ran."""

    @property
    def name(self) -> str: ...
    @property
    def picture(self) -> Picture: ...


def table(findings: Iterable[Shown]) -> Table:
    """Picture, label, confidence in percent, box in pixels; a failed picture shows its reason."""
    shown = Table("picture", "label")
    shown.add_column("confidence", justify="right")
    for axis in ("x", "y", "width", "height"):
        shown.add_column(axis, justify="right")
    for finding in findings:
        file = finding.name if is_address(finding.name) else Path(finding.name).name
        name, picture = escape(file), finding.picture
        if picture.status != "succeeded":
            shown.add_row(name, f"[red]{escape(reason(finding))}[/red]")
        elif not picture.detections:
            shown.add_row(name, "[dim]nothing found[/dim]")
        for found in picture.detections:
            box = (found.box.x, found.box.y, found.box.width, found.box.height)
            confidence = f"{found.confidence * 100:.1f} %"
            shown.add_row(name, escape(found.label), confidence, *(f"{value:.0f}" for value in box))
            name = ""
    return shown


def rows(headings: Iterable[str], cells: Iterable[Iterable[str]]) -> Table:
    """A plain table of text; nothing in it is cut."""
    shown = Table()
    for heading in headings:
        shown.add_column(escape(heading), overflow="fold")
    for row in cells:
        shown.add_row(*map(escape, row))
    return shown


def reason(finding: Shown) -> str:
    """Why a picture has no result: its error, or the state in which its job ended."""
    error = finding.picture.error
    return f"{error.detail} ({error.code})" if error else f"the picture is {finding.picture.status}"


def say(sentence: str) -> None:
    """One sentence on stderr."""
    sys.stderr.write(f"spotter: {sentence}\n")


def console(stream: TextIO | None = None) -> Console:
    """A console that neither guesses colours for a pipe nor marks up what it is given."""
    return Console(file=stream, highlight=False, soft_wrap=False)


def prefixed(stream: TextIO, colour: bool) -> Log:
    """A `Log` that writes `name | line`. Lines that nobody reads any more are dropped: the parts live on."""
    broken = False

    def log(name: str, line: str) -> None:
        nonlocal broken
        if broken:
            return
        code = COLOURS.get(name.partition("-")[0], OTHER_COLOUR)
        head = f"\x1b[{code}m{name} |\x1b[0m" if colour else f"{name} |"
        try:
            stream.write(f"{head} {line}\n")
            stream.flush()
        except BrokenPipeError:
            broken = True

    return log

"""Pictures on this disk -> outcomes, by a worker's own code in a child process: no service, no store, no network.

Knows how `python -m worker.local` is asked and what it answers; a crash of the runtime there is one sentence here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spotter.child import how_it_ended
from spotter.errors import StackError
from spotter.finding import drawn_path
from spotter.job import Picture
from spotter.sending import is_address

COMMAND = (sys.executable, "-P", "-m", "worker.local")
LAST_WORDS = 2000
"""Characters of a failed child's stderr that are looked at."""


@dataclass(frozen=True)
class Outcome:
    """One picture's outcome under the name that the user gave it."""

    name: str
    picture: Picture

    def line(self) -> str:
        """The outcome as one JSON document without a line's end; `spotter.record` reads it."""
        return json.dumps({"picture": self.name, **self.picture.raw})


@dataclass(frozen=True)
class Local:
    """A model of the repository, run here.

    Attributes:
        model: `name`, `name@version` or `name@alias`.
        models_dir: the repository.
        environ: environment of the child; its `SPOTTER_*` settings count there as for a worker.
        timeout_s: longest run of the child.
    """

    model: str
    models_dir: Path
    environ: Mapping[str, str]
    timeout_s: float = 300.0

    def detect(
        self,
        pictures: Sequence[str],
        *,
        threshold: float | None = None,
        precision: str | None = None,
        trial: Path | None = None,
        drawn: Sequence[Path] = (),
    ) -> list[Outcome]:
        """The outcome of each picture, in order. A picture that cannot be read or decoded has failed.

        Args:
            threshold: smallest confidence, 0..1; None: the model's own.
            precision: None: that of the settings.
            trial: a file to run as the variant of `precision`, before it is in the repository.
            drawn: where each picture's annotated JPEG goes; none where empty.

        Raises:
            StackError: the model cannot run, or not in time.
        """
        request: dict[str, object] = {"pictures": list(pictures), "drawn": [str(path) for path in drawn]}
        if threshold is not None:
            request["options"] = {"threshold": threshold}
        if precision is not None:
            request["precision"] = precision
        if trial is not None:
            request["trial"] = str(trial)
        lines = self._run(request).splitlines()
        if len(lines) != len(pictures):
            raise StackError(f"The worker's code answered {len(lines)} pictures where {len(pictures)} were asked.")
        return [Outcome(name, Picture.from_json(json.loads(line))) for name, line in zip(pictures, lines, strict=True)]

    def frames(self, pictures: Sequence[str], target: Path) -> None:
        """Write what the model would see of the pictures: `.npy`, (N, H, W, 3), RGB 0..255, uint8 or float32.

        Raises:
            StackError: a picture cannot be read or decoded, or the frames are too many.
        """
        self._run({"pictures": list(pictures), "frames_to": str(target)})

    def _run(self, request: Mapping[str, object]) -> bytes:
        document = {"model": self.model, "models_dir": str(self.models_dir), **request}
        try:
            done = subprocess.run(  # noqa: S603 - argv is ours, no shell
                COMMAND,
                input=json.dumps(document).encode(),
                capture_output=True,
                env=dict(self.environ),
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.model} did not answer within {self.timeout_s:g} s, so it was stopped.") from None
        words = done.stderr[-LAST_WORDS:].decode("utf-8", "replace").strip()
        if done.returncode != 0:
            raise StackError(_why(words, done.returncode))
        if words:
            _pass_on(words)
        return done.stdout


def detect_and_draw(
    local: Local, pictures: Sequence[str], threshold: float | None, draw_to: Path | None
) -> tuple[list[Outcome], list[Path]]:
    """The outcomes, and the annotated pictures that were written into the folder, which is made when missing.

    Raises:
        StackError: the model cannot run, or a picture is not on this disk.
        OSError: a picture is missing, or the folder cannot be made.
    """
    for name in pictures:
        if is_address(name):
            raise StackError(f"{name} is not on this disk: without a service only files are read.")
        Path(name).stat()  # a missing file shows before the model is loaded, as with a service
    taken: set[Path] = set()
    drawn: list[Path] = []
    if draw_to is not None:
        draw_to.mkdir(parents=True, exist_ok=True)
        drawn = [drawn_path(draw_to, name, taken) for name in pictures]
    outcomes = local.detect(pictures, threshold=threshold, drawn=drawn)
    succeeded = [one.picture.status == "succeeded" for one in outcomes]
    return outcomes, [path for path, good in zip(drawn, succeeded, strict=False) if good]


@cache
def _pass_on(words: str) -> None:
    """A warning, such as of a provider that could not take the model; once, however often the model is run."""
    sys.stderr.write(f"{words}\n")


def _why(words: str, code: int) -> str:
    """The child's own sentence; where it has none, how it ended."""
    last = words.splitlines()[-1] if words else ""
    if last.startswith("worker: "):
        return last.removeprefix("worker: ")
    if "No module named" in last:
        return lacking(last)
    return f"The worker's code {how_it_ended(code)}{f': {last}' if last else ''}."


def lacking(what: str) -> str:
    """The sentence for a module that is not installed."""
    return f"Running a model here needs the worker's packages ({what}): install spotter-detect[local]."

"""The command line that all benches share, and how their result is printed: JSON, on the last line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every bench takes: picture, model repository, model, precision, rounds."""
    end_in_order()
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--image", type=Path, default=Path("tests/pictures/dog.jpg"))
    made.add_argument("--models-dir", type=lambda text: Path(text).resolve(), default=Path("models").resolve())
    made.add_argument("--model", default="yolov3-tiny")
    made.add_argument("--precision", default="auto", choices=PRECISIONS)
    made.add_argument("--rounds", type=int, default=3)
    return made


def end_in_order() -> None:
    """SIGTERM unwinds the stack as Ctrl-C does, so that a bench that is ended ends what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def chosen(line: argparse.ArgumentParser, only: str, known: Collection[str]) -> list[str]:
    """What `--only` names, separated by commas; a name that is none of `known` ends the program with what there is."""
    names = only.split(",")
    if unknown := set(names).difference(known):
        line.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


def say(text: str) -> None:
    """Progress, at once, also through a pipe."""
    print(text, flush=True)


def result(document: dict[str, Any]) -> None:
    """The bench's answer: one JSON document on one line, the last."""
    print(json.dumps(document), flush=True)

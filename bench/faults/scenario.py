"""What every scenario of the fault bench shares: its command line, and its row, said as JSON on the last line."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.arguments import end_in_order, say
from bench.tiny_model import make_models

OUT = Path("out/faults")


@dataclass(frozen=True)
class Row:
    """One line of the table in docs/reliability.md.

    Attributes:
        load: what was asked of the service, with numbers: `10,000 jobs`.
        fault: what was done to it meanwhile.
        reach: what must hold.
        measured: what was counted, in words that need no explanation, and in the order in which they are shown.
        held: whether `reach` was met.
    """

    load: str
    fault: str
    reach: str
    measured: dict[str, Any]
    held: bool


def parser(description: str | None, full: Mapping[str, int | float], short: Mapping[str, int | float]) -> Line:
    """A command line with `--seed`, `--short`, and one option for each size of the scenario.

    Args:
        full: the sizes, by option name, of the full form.
        short: those that differ in the short form.
    """
    return Line(description, dict(full), dict(short))


class Line:
    """See `parser`."""

    def __init__(self, description: str | None, full: dict[str, Any], short: dict[str, Any]) -> None:
        end_in_order()
        self._full, self._short = full, short
        self._parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self._parser.add_argument("--seed", type=int, default=1, help="all random choices come from it")
        self._parser.add_argument("--short", action="store_true", help="a small form, for a first look")
        for name, value in full.items():
            told = f"default {value}; short form {short.get(name, value)}"
            self._parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=told)

    def read(self, argv: list[str] | None = None) -> argparse.Namespace:
        """The sizes that were not given come from the full or the short form."""
        asked = self._parser.parse_args(argv)
        for name, value in (self._full | (self._short if asked.short else {})).items():
            if getattr(asked, name) is None:
                setattr(asked, name, value)
        return asked


def conclude(run: Callable[[argparse.Namespace], Row], asked: argparse.Namespace) -> None:
    """Run a scenario and print its document, the last line; exit code 1 when it did not reach what it must."""
    name = run.__module__ if run.__module__ != "__main__" else Path(sys.argv[0]).stem
    say(f"{name.rpartition('.')[2]}, seed {asked.seed}")
    begun = time.monotonic()
    row = run(asked)
    sizes = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in vars(asked).items() if key != "short")
    document = {
        "scenario": name.rpartition(".")[2],
        "seed": asked.seed,
        "short": asked.short,
        "command": f"python -m bench.faults.{name.rpartition('.')[2]} {sizes}",
        "seconds": round(time.monotonic() - begun, 1),
        **asdict(row),
    }
    print(json.dumps(document), flush=True)
    sys.exit(0 if row.held else 1)


def chance(seed: int, what: str) -> random.Random:
    """A source of random choices of its own for each purpose, so that threads cannot change each other's."""
    return random.Random(f"{seed}/{what}")


@contextmanager
def workplace(scenario: str) -> Iterator[tuple[Path, Path]]:
    """A fresh folder for one run, and a model repository in it that hardly costs the device anything."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"spotter-{scenario}-") as name:
        folder = Path(name)
        yield folder, make_models(folder)

"""Documents of benches -> docs/benchmarks.md. Knows what each bench is for; measures nothing.

What stands below `BY_HAND` on the page is kept as it is: figures need words that no bench can write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BY_HAND = "<!-- what follows is written by hand and kept by `make bench` -->"
OWN_PLACE = frozenset({"bench", "rows", "ratio", "ratios", "missing"})
"""Keys of a document that are not shown as a fact, or not in that place."""


@dataclass(frozen=True)
class Step:
    """One part of the page and the bench that fills it.

    Attributes:
        module: run as `python -m`.
        reading: how to read its table, in a line or two.
        options: of the full form.
        quick: of the short form.
        needs_bf16: left out where the processor has no bf16 arithmetic.
    """

    title: str
    module: str
    reading: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--rounds", "1")
    needs_bf16: bool = False


_SHARE = (
    "`ratio` is the service's rate over that of the bare loop, round by round: what queue, store and HTTP leave of the "
    "model's own speed. The service shares its cores with the load generator, the bare loop does not. The loop runs as "
    "many batches side by side as the worker does; `one run at a time` is the same loop without these lanes."
)
_BULK = (
    "The same ratio for jobs of many pictures. `url`: one job, fetched from a small HTTP server that runs on the same "
    "cores. `upload`: multipart forms as full as a request may be, hence several jobs."
)
STEPS: dict[str, Step] = {
    "throughput-bf16": Step("Single-picture jobs, bf16", "bench.throughput", _SHARE,
                            ("--precision", "bf16", "--jobs", "800"),
                            ("--precision", "bf16", "--rounds", "1", "--jobs", "300"), needs_bf16=True),
    "throughput-fp32": Step("Single-picture jobs, fp32", "bench.throughput", _SHARE,
                            ("--precision", "fp32", "--jobs", "600"),
                            ("--precision", "fp32", "--rounds", "1", "--jobs", "200")),
    "bulk-bf16": Step("Bulk jobs, bf16", "bench.bulk", _BULK, ("--precision", "bf16"),
                      ("--precision", "bf16", "--rounds", "1", "--pictures", "300"), needs_bf16=True),
    "bulk-fp32": Step("Bulk jobs, fp32", "bench.bulk", _BULK, ("--precision", "fp32"),
                      ("--precision", "fp32", "--rounds", "1", "--pictures", "200")),
    "sizes": Step(
        "Pictures of cameras", "bench.sizes",
        "Single-picture jobs of larger JPEGs. `scaled`: libjpeg decodes them at a part of their size, as it does by "
        "default; `whole`: with `SPOTTER_SCALED_DECODE=false`.",
        (), ("--rounds", "1", "--seconds", "3"),
    ),
    "large": Step(
        "One job of 10,000 pictures", "bench.large",
        "One request of so many pictures of 7 kB, which runs for a while and is canceled. The clock runs from its "
        "first byte. `others` looks at another job of the same service, request after request, before it and while it "
        "is taken in.",
        ("--rounds", "1"), ("--rounds", "1", "--seconds", "3"),
    ),
    "latency": Step(
        "Latency", "bench.latency",
        "From the intended moment of sending to the last byte of the finished job. `added` is the idle service less "
        "the bare loop; under load (Poisson arrivals) queueing for the device is most of it. `sent late` is the "
        "generator's own delay, which counts as latency too.",
        (), ("--rounds", "1", "--seconds", "6", "--pictures", "60"),
    ),
    "api": Step(
        "Accepts, and a deep queue", "bench.api",
        "One API process takes URL jobs, no worker runs. The last rows ask whether a job costs more behind many "
        "others: the costs are ratios of times, deep to shallow, so 1 means no. `us`: calls on the store, one client.",
        ("--deep",), ("--rounds", "1", "--seconds", "2"),
    ),
    "engine": Step(
        "The bare session", "bench.engine",
        "Model runs alone, no decoding: what one picture costs by provider, precision and batch.",
        (), ("--rounds", "1", "--seconds", "0.3"),
    ),
    "scale": Step(
        "Worker processes", "bench.scale",
        "Jobs per second with so many workers on the same cores, each of which computes with all of them.",
        (), ("--rounds", "1", "--seconds", "3", "--workers", "1,2"),
    ),
    "start": Step(
        "Start and memory of a worker", "bench.start",
        "Start: process start to ready, model on disk. Memory is the resident set; a worker that has worked is "
        "compared with the model alone and with the bare loop.",
        (), ("--rounds", "2", "--seconds", "4", "--starts", "2"),
    ),
}  # fmt: skip
"""In the order of the page."""


def page(found: Mapping[str, Mapping[str, Any]], kept: str) -> str:
    """The whole page.

    Args:
        found: by step: `document` of the bench, `machine` facts of its moment, `quick`.
        kept: what stood below `BY_HAND`.
    """
    newest = max((one["machine"] for one in found.values()), key=lambda machine: str(machine["date"]))
    parts = [_head(newest)]
    parts += [_section(STEPS[name], found[name]) for name in STEPS if name in found]
    return "\n\n".join([*parts, BY_HAND, kept.strip()]).rstrip() + "\n"


def by_hand(text: str) -> str:
    """What an earlier page had below the mark."""
    return text.partition(BY_HAND)[2]


def _head(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        "# Benchmarks\n\n"
        "Written by `make bench` (`ARGS=--quick` for a short form; `ARGS='--only api,engine'` for some). Each cell is"
        " the median over the rounds of one run, with the smallest and the largest in brackets; ratios are taken"
        " within a round, both sides in turn. Compare ratios between machines, not rates. Load comes from the same"
        " machine.\n\n"
        f"| | |\n|---|---|\n"
        f"| processor | {machine['cpu']} ({machine['family']}), {machine['cores']} cores |\n"
        f"| instruction sets | {', '.join(machine['instruction_sets'])} |\n"
        f"| memory | {machine['memory_gib']} GiB |\n"
        f"| system | {machine['system']}, Python {machine['python']} |\n"
        f"| versions | {versions} |\n"
        "| picture | tests/pictures/dog.jpg, JPEG, 768 x 576 |\n"
        f"| date | {machine['date']} |"
    )


def _section(step: Step, one: Mapping[str, Any]) -> str:
    document, machine = one["document"], one["machine"]
    form = ", short form" if one["quick"] else ""
    facts = [f"- {key}: {_cell(value)}" for key, value in document.items() if key not in OWN_PLACE]
    gaps = [f"- left out, {name}: {why.partition(':')[0]}" for name, why in document.get("missing", {}).items()]
    parts = [
        f"## {step.title}", step.reading, table(document["rows"]), "\n".join([*facts, *gaps]),
        f"`python -m {step.module}`, {machine['date']}, commit {machine['commit']}{form}.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown; the columns are the keys of all rows in the order in which they come up."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(key, "")) for key in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    """A range as `median (low to high)`; one whose ends are equal, and any other number, alone."""
    if isinstance(value, Mapping) and value.keys() >= {"median", "low", "high"}:
        if value["low"] == value["high"]:
            return _number(value["median"])
        return f"{_number(value['median'])} ({_number(value['low'])} to {_number(value['high'])})"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) or not value.is_integer() else f"{value:,.0f}"


def last_document(output: str) -> dict[str, Any]:
    """The JSON document on the last line of a bench's output. Raises ValueError: it is none."""
    lines = output.strip().splitlines()
    found = json.loads(lines[-1]) if lines else None
    if not isinstance(found, dict) or "rows" not in found:
        raise ValueError(f"the last line is no bench's document: {lines[-1:]}")
    return found

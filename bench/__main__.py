"""`make bench`: every bench but the peers, one after the other, and docs/benchmarks.md from what they found.

    python -m bench [--quick] [--only throughput-bf16,api] [--page-only]

Each result is kept in out/bench, so that the page can be made in several sittings on one machine; results of another
machine are left out. The peers (`python -m bench.peers`) need packages of their own and are run by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.arguments import chosen, end_in_order
from bench.page import STEPS, Step, by_hand, last_document, page
from bench.processes import watched
from worker import hardware

RESULTS = Path("out/bench")
PAGE = Path("docs/benchmarks.md")
LIMIT_S = 1800.0
SAME_MACHINE = ("cpu", "cores", "instruction_sets")


def run(step: Step, options: tuple[str, ...]) -> dict[str, Any]:
    """One bench in a process of its own; its progress goes on to the terminal. Raises RuntimeError: it failed."""
    command = [sys.executable, "-m", step.module, *options]
    print(f"== {' '.join(command[1:])}", flush=True)
    code, said = watched(command, LIMIT_S)
    if code != 0:
        raise RuntimeError(f"{step.module} ended with {code}")
    return last_document(said)


def results(here: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is kept in out/bench and was measured on this machine, by step."""
    found = {}
    for name in STEPS:
        path = RESULTS / f"{name}.json"
        if path.exists():
            one = json.loads(path.read_text())
            if all(one["machine"][key] == here[key] for key in SAME_MACHINE):
                found[name] = one
            else:
                print(f"{path} is of another machine and is left out", flush=True)
    return found


def main() -> None:
    """The command line."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--quick", action="store_true", help="one short round each: does everything run?")
    line.add_argument("--only", default=",".join(STEPS), help=f"some of {','.join(STEPS)}")
    line.add_argument("--page-only", action="store_true", help="measure nothing, write the page from out/bench")
    asked = line.parse_args()
    end_in_order()
    names = [] if asked.page_only else chosen(line, asked.only, STEPS)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names:
        step = STEPS[name]
        if step.needs_bf16 and not hardware.has_bf16():
            print(f"== {name}: this processor has no bf16 arithmetic", flush=True)
            continue
        facts = machine.facts()
        document = run(step, step.quick if asked.quick else step.options)
        kept = {"document": document, "machine": facts, "quick": asked.quick}
        (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    found = results(machine.facts())
    if not found:
        raise SystemExit("there are no results in out/bench yet")
    PAGE.write_text(page(found, by_hand(PAGE.read_text()) if PAGE.exists() else ""))
    print(f"{PAGE} is written", flush=True)
    print(json.dumps({"bench": "all", "page": str(PAGE), "documents": {name: one["document"] for name, one in
                      found.items()}}))  # fmt: skip


if __name__ == "__main__":
    main()

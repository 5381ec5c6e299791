"""`make faults`: every scenario in a process of its own, one after the other, and docs/reliability.md from the results.

    python -m bench.faults [--short] [--seed N] [--only worker_kills,valkey_kills] [--page-only]

Each document is kept in out/faults, so that the page can be made in several sittings. A short run never takes the place
of a full one on the page. Exit code 1: some scenario did not reach what it must.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.arguments import chosen, end_in_order, say
from bench.faults.page import by_hand, page
from bench.faults.roster import SCENARIOS
from bench.faults.scenario import OUT
from bench.processes import watched

PAGE = Path("docs/reliability.md")
LIMIT_S = 3600.0


def run(name: str, options: list[str]) -> dict[str, Any]:
    """One scenario; its progress goes on to the terminal. Raises RuntimeError: it ended without a document."""
    command = [sys.executable, "-m", f"bench.faults.{name}", *options]
    code, said = watched(command, LIMIT_S)
    last = said.rstrip("\n").rpartition("\n")[2]
    if not last.startswith("{"):
        raise RuntimeError(f"bench.faults.{name} ended with {code} and no document")
    document: dict[str, Any] = json.loads(last)
    return document


def keep(document: dict[str, Any], facts: dict[str, Any]) -> None:
    """Into out/faults, with the machine's facts when it began; a full run is not overwritten by a short one."""
    path = OUT / f"{document['scenario']}.json"
    if document["short"] and path.exists() and not json.loads(path.read_text())["document"]["short"]:
        path = path.with_suffix(".short.json")
    path.write_text(json.dumps({"document": document, "machine": facts}, indent=1) + "\n")


def main() -> None:
    """The command line."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--short", action="store_true", help="small loads, few faults: does everything hold?")
    line.add_argument("--seed", type=int, default=1)
    line.add_argument("--only", default=",".join(SCENARIOS), help=f"some of {','.join(SCENARIOS)}")
    line.add_argument("--page-only", action="store_true", help="run nothing, write the page from out/faults")
    asked = line.parse_args()
    end_in_order()
    names = [] if asked.page_only else chosen(line, asked.only, SCENARIOS)
    OUT.mkdir(parents=True, exist_ok=True)
    options = ["--seed", str(asked.seed), *(["--short"] if asked.short else [])]
    documents = []
    for name in names:
        facts = machine.facts()  # before the run: it may be a long one, and the commit another when it ends
        documents.append(run(name, options))
        keep(documents[-1], facts)
    found = {name: json.loads(path.read_text()) for name in SCENARIOS if (path := OUT / f"{name}.json").exists()}
    if not found:
        raise SystemExit("there are no results in out/faults yet")
    if not asked.short:
        PAGE.write_text(page(found, by_hand(PAGE.read_text()) if PAGE.exists() else ""))
        say(f"{PAGE} is written")
    failed = [one["scenario"] for one in documents if not one["held"]]
    print(json.dumps({"bench": "faults", "held": not failed, "failed": failed, "documents": documents}), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""The README's comparison with others: what Spotter claims in a row has a test, and that test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CELLS = {"yes", "part", "code", "–", "?", "n/a", "SNS"}
SYSTEMS = [
    "Spotter",
    "Replicate",
    "SageMaker Async",
    "RunPod",
    "BentoML",
    "Triton",
    "TF Serving",
    "Roboflow",
    "DeepStack",
]


def _rows(text: str) -> list[list[str]]:
    """The cells of a table's lines, tags and the marks of notes left out."""
    plain = re.sub(r"<[^>]+>|[¹²³⁴⁵⁶⁷⁸⁹⁰]", "", text)
    lines = [line.strip("| ").split("|") for line in plain.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if not set("".join(line)) <= {"-", " ", ""}]


SECTION = (ROOT / "README.md").read_text().split("## Beside others\n")[1].split("\n## ")[0]
COMPARED, PROVED = (_rows(part) for part in SECTION.split("<details>"))
FEATURES = {row[0]: row[1:] for row in COMPARED if len(row) == len(SYSTEMS) + 1}
TESTS = {feature: test.strip("`") for feature, test in PROVED}


@cache
def _tests_of(path: Path) -> set[str]:
    nodes = ast.parse(path.read_text()).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_table_compares_with_all_and_is_whole() -> None:
    assert COMPARED[0] == SYSTEMS
    assert len(FEATURES) >= 45
    groups = [row[0] for row in COMPARED[1:] if row[0] not in FEATURES]
    assert all(re.fullmatch(r"\*\*[^*]+\*\*", group) for group in groups), "a row has a cell too few or too many"
    assert {cell for cells in FEATURES.values() for cell in cells} <= CELLS


def test_what_we_claim_has_a_test_and_what_we_lack_has_none() -> None:
    assert TESTS.keys() == {feature for feature, cells in FEATURES.items() if cells[0] != "–"}
    assert any(cells[0] == "–" for cells in FEATURES.values()), "others have nothing that we lack?"


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS.keys())
def test_the_test_of_a_row_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name.startswith("test_")
    assert name in _tests_of(ROOT / path), f"{path} has no {name}"

"""The page of a bench, its parts, and the bodies of bulk jobs."""

from __future__ import annotations

import email
import json
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.bulk import BOUNDARY, forms
from bench.machine import _cpuinfo, facts
from bench.page import BY_HAND, STEPS, by_hand, last_document, page, table
from bench.processes import resident_mb
from bench.sizes import enlarged

MACHINE = {
    "cpu": "Some CPU", "family": "cpu family 1", "cores": 2, "memory_gib": 4.0, "instruction_sets": ["avx2"],
    "system": "Linux 6", "python": "3.11.7", "versions": {"numpy": "2.0"}, "date": "2026-11-21 08:00 UTC",
    "commit": "abc1234",
}  # fmt: skip


def test_a_table_has_the_columns_of_all_rows_and_ranges_as_words() -> None:
    rows: list[dict[str, Any]] = [
        {"a": {"median": 2.0, "low": 1.5, "high": 3.25}},
        {"a": {"median": 7.0, "low": 7.0, "high": 7.0}, "b": 1000},
    ]
    assert table(rows).splitlines() == ["| a | b |", "| --- | --- |", "| 2 (1.5 to 3.25) |  |", "| 7 | 1,000 |"]


def test_the_page_keeps_what_was_written_by_hand() -> None:
    found = {"engine": {"document": {"bench": "engine", "rounds": 1, "rows": [{"x": 1}]}, "machine": MACHINE,
                        "quick": True}}  # fmt: skip
    first = page(found, "\n\n## Words\n\nBecause.\n")
    assert "Some CPU" in first
    assert "- rounds: 1" in first
    assert "short form" in first
    assert page(found, by_hand(first)) == first
    assert first.endswith("Because.\n")
    assert by_hand("nothing marked") == ""
    assert first.count(BY_HAND) == 1


def test_every_step_names_a_bench_that_is_there() -> None:
    for step in STEPS.values():
        path = Path(__file__).parents[2] / (step.module.replace(".", "/") + ".py")
        assert path.exists(), step.module


def test_only_a_document_on_the_last_line_counts() -> None:
    assert last_document('progress\n{"bench": "x", "rows": []}\n') == {"bench": "x", "rows": []}
    for output in ("", "no json", '{"bench": "x"}', '{"rows": []}\nmore'):
        with pytest.raises(ValueError, match=r"."):
            last_document(output)


def test_forms_hold_every_picture_and_keep_to_the_bound() -> None:
    image = bytes(range(256)) * 4
    bodies = forms(image, 10, body_bytes=5_000)
    assert len(bodies) > 1
    read = []
    for body in bodies:
        assert len(body) <= 5_000
        head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body).get_payload()
        assert isinstance(parts, list)
        for part in parts:
            assert isinstance(part, Message)
            read.append(part.get_param("name", header="content-disposition"))
    assert read == ["file"] * 10
    assert sum(body.count(image) for body in bodies) == 10


def test_this_machine_has_its_facts_in_json() -> None:
    found = json.loads(json.dumps(facts()))
    assert found["cores"] >= 1
    assert found["versions"]["numpy"]
    assert _cpuinfo("model name\t: A: B\nflags\t\t: x y\n\nmodel name\t: C\n") == {"model name": "A: B", "flags": "x y"}


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident_mb()
    held = b"\1" * 50_000_000
    assert 40 < resident_mb() - before < 60
    assert len(held) == 50_000_000


def test_an_enlarged_picture_has_its_size_and_is_the_same_each_time(tmp_path: Path) -> None:
    dog = Path(__file__).parents[1] / "pictures" / "dog.jpg"
    for name in ("one.jpg", "two.jpg"):
        enlarged(dog, (1000, 700), tmp_path / name)
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
    with Image.open(tmp_path / "one.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (1000, 700))

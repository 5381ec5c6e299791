"""Records of results: which forms are read, which are refused, and what a check makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spotter.agreement import Agreement
from spotter.errors import StackError
from spotter.job import Picture
from spotter.local import Outcome
from spotter.record import Tolerances, read, write

ENTRY: dict[str, Any] = {
    "index": 0,
    "status": "succeeded",
    "image": {"width": 100, "height": 50},
    "detections": [
        {"label": "dog", "class_id": 16, "confidence": 0.8, "box": {"x": 1, "y": 2, "width": 3, "height": 4}}
    ],
}
EMPTY = ENTRY | {"index": 1, "detections": []}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(folder: Path, text: str) -> Path:
    path = folder / "record.json"
    path.write_text(text)
    return path


def lines(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def test_lines_that_name_their_pictures(folder: Path) -> None:
    outcomes = read(recorded(folder, lines({"picture": "b.jpg", **ENTRY}, {"picture": "a.jpg", **EMPTY})))
    assert [one.name for one in outcomes] == ["b.jpg", "a.jpg"]
    (dog,) = outcomes[0].picture.detections
    assert (dog.label, dog.confidence, dog.box.x, outcomes[0].picture.size) == ("dog", 0.8, 1, (100, 50))


@pytest.mark.parametrize(
    "text",
    [
        lines(ENTRY, EMPTY),
        json.dumps([ENTRY, EMPTY]),
        json.dumps({"id": "job_1", "status": "succeeded", "results": [ENTRY, EMPTY]}, indent=2),
        lines(*({"picture": "elsewhere.jpg", **entry} for entry in (ENTRY, EMPTY))),
    ],
    ids=["lines", "list", "job", "other names"],
)
def test_pictures_may_be_named_beside_it(text: str, folder: Path) -> None:
    outcomes = read(recorded(folder, text), ["x.jpg", "y.jpg"])
    assert [(one.name, len(one.picture.detections)) for one in outcomes] == [("x.jpg", 1), ("y.jpg", 0)]


def test_a_picture_may_lie_beside_the_record(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/a.jpg").write_bytes(b"")
    path = recorded(folder / "sub", lines({"picture": "a.jpg", **ENTRY}))
    assert [one.name for one in read(path)] == [str(folder / "sub/a.jpg")]
    (folder / "a.jpg").write_bytes(b"")
    assert [one.name for one in read(path)] == ["a.jpg"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no detections"),
        (lines({"picture": "a.jpg", **EMPTY}), "has no detections"),
        ("no json", "is no record"),
        ("3", "is no record"),
        ("[3]", "is no record"),
        ('{"results": null}', "is no record"),
        ('{"hello": "world"}', "is no record"),
        (lines(ENTRY), "does not say which pictures"),
    ],
)
def test_what_is_no_record_is_refused(text: str, sentence: str, folder: Path) -> None:
    with pytest.raises(StackError, match=sentence):
        read(recorded(folder, text))


def test_another_number_of_pictures_is_refused(folder: Path) -> None:
    with pytest.raises(StackError, match="has 2 pictures, not 1"):
        read(recorded(folder, lines(ENTRY, EMPTY)), ["x.jpg"])


def test_what_is_written_is_read_again(folder: Path) -> None:
    outcomes = [Outcome("ä.jpg", Picture.from_json(ENTRY)), Outcome("b.jpg", Picture.from_json(EMPTY))]
    write(folder / "made.json", outcomes)
    assert read(folder / "made.json") == outcomes


def test_a_record_that_would_prove_nothing_is_not_written(folder: Path) -> None:
    failed = {"index": 0, "status": "failed", "error": {"code": "x", "title": "T", "detail": "Not a picture."}}
    for entry, sentence in ((EMPTY, "finds nothing"), (failed, r"a\.jpg: Not a picture\.")):
        with pytest.raises(StackError, match=sentence):
            write(folder / "made.json", [Outcome("a.jpg", Picture.from_json(entry))])
    assert not (folder / "made.json").exists()


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({}, True),
        ({"matched": 0.95}, True),
        ({"matched": 0.94}, False),
        ({"confidence_drift": 0.02}, True),
        ({"confidence_drift": 0.021}, False),
        ({"extra": 5}, True),
        ({"extra": 6}, False),
    ],
)
def test_tolerances(fields: dict[str, Any], good: bool) -> None:
    values = {"pictures": 9, "detections": 101, "matched": 1.0, "confidence_drift": 0.0, "largest_drift": 0.1}
    found = Agreement(**{**values, "extra": 0, "different": (), **fields})
    assert Tolerances(0.95, 0.02).hold(found) is good

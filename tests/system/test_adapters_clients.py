"""Other systems' own clients, unchanged, against the real processes. What they read has to be what `POST /jobs` says of
the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.local import Stack
from tests.foreign_clients import needs_foreign, run_foreign

pytestmark = [pytest.mark.system, pytest.mark.timeout(120), needs_foreign]

PICTURE = Path(__file__).parent.parent / "pictures" / "dog.jpg"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """A service that answers as all other systems, too."""
    with Stack(tmp_path_factory.mktemp("adapters"), models_dir, "fp32", adapters="all") as stack:
        yield f"http://127.0.0.1:{stack.port}"


def ours(base: str, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What the job resource says: detections, and the size of the picture."""
    answer = httpx.post(
        f"{base}/jobs", params=options, content=PICTURE.read_bytes(), timeout=30,
        headers={"content-type": "image/jpeg", "prefer": "wait=30"},
    )  # fmt: skip
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    assert result["detections"], "nothing to compare"
    return result["detections"], result["image"]


def corners(one: dict[str, Any]) -> tuple[float, float, float, float]:
    box = one["box"]
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def test_deepstack_sdk(base: str) -> None:
    by_default, by_name, refused = run_foreign("deepstack_client", base, PICTURE)
    expected, _ = ours(base, threshold=0.05, max_detections=20)
    assert len(by_default) == len(expected)
    for (label, confidence, *box), one in zip(by_default, expected, strict=True):
        assert (label, confidence) == (one["label"], one["confidence"])
        assert box == pytest.approx(corners(one), abs=0.51)
    assert by_name == by_default
    assert refused == "Invalid image"


def test_pydoods(base: str) -> None:
    read = run_foreign("doods_client", base, PICTURE)
    names = [(one["name"], one["labels"], one["width"]) for one in read["detectors"]["detectors"]]
    assert names == [("default", ["dog", "cat", "kite"], 64), ("yolov3-tiny", ["dog", "cat", "kite"], 64)]
    expected, size = ours(base, threshold=0.05, thresholds='{"dog": 0.2}')
    assert read["found"]["id"] == "7"
    assert "error" not in read["found"], "Home Assistant looks for the field, not for what is in it"
    assert len(read["found"]["detections"]) == len(expected)
    for found, one in zip(read["found"]["detections"], expected, strict=True):
        left, top, right, bottom = corners(one)
        assert (found["label"], found["confidence"]) == (one["label"], pytest.approx(100 * one["confidence"]))
        shares = [left / size["width"], top / size["height"], right / size["width"], bottom / size["height"]]
        assert [found[edge] for edge in ("left", "top", "right", "bottom")] == pytest.approx(shares)
    cats = [one["confidence"] * 100 for one in ours(base, threshold=0.05, classes="cat")[0]]
    assert [one["confidence"] for one in read["by default"]["detections"]] == pytest.approx(cats)
    assert read["unknown"] == 400


def test_inference_sdk_and_supervision(base: str) -> None:
    read = run_foreign("roboflow_client", base, PICTURE)
    expected, size = ours(base, threshold=0.05, iou=0.5, max_detections=50)
    boxes = [corners(one) for one in expected]
    assert read["image"] == size
    for way in (read["newer"], *read["several"], read["older"]):
        assert way["class_name"] == [one["label"] for one in expected]
        assert way["class_id"] == [one["class_id"] for one in expected]
        assert way["confidence"] == pytest.approx([one["confidence"] for one in expected], abs=1e-6)
        for got, box in zip(way["xyxy"], boxes, strict=True):
            assert got == pytest.approx(box, abs=0.01)
    assert len(read["several"]) == 2
    assert read["models"] == ["yolov3-tiny/1"]
    assert read["drawn"] == [size["height"], size["width"], 3]
    assert (read["refused"][0], "coco@3" in read["refused"][1]) == (404, True)
    assert read["server"]["name"] == "Spotter"


def test_label_studio_sdk(base: str) -> None:
    read = run_foreign("labelstudio_client", base, PICTURE)
    everything, size = ours(base, threshold=0.05)
    called = {"dog": "Dog", "kite": "Flying"}
    expected = [one for one in everything if one["label"] in called]
    assert read["health"]["status"] == "UP"
    assert read["setup"] == {"model_version": "yolov3-tiny@1"}
    assert read["model_versions"] == ["yolov3-tiny@1"] * 2
    assert read["errors"] == [[], []], "its SDK finds nothing wrong with them"
    first, second = read["results"]
    assert [one["value"]["rectanglelabels"] for one in first["result"]] == [[called[one["label"]]] for one in expected]
    for region, one in zip(first["result"], expected, strict=True):
        left, top, right, bottom = corners(one)
        assert [region["from_name"], [region["to_name"]]] == read["control"][:2]
        value = region["value"]
        percent = [100 * left / size["width"], 100 * top / size["height"]]
        assert [value["x"], value["y"]] == pytest.approx(percent)
        assert value["width"] * size["width"] / 100 == pytest.approx(right - left)
        assert value["height"] * size["height"] / 100 == pytest.approx(bottom - top)
    assert (second["result"], "only Label Studio itself can read" in second["error"]) == ([], True)

"""Models of other systems, imported and served by the real processes: the right boxes and labels through `POST /jobs`.

The networks are those of `tests.zoo.onnx_exports`: their answers follow from the left half of the frame, so that NumPy
knows what the service must say of a picture.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.local import Stack
from shared.manifest import Frame
from tests.zoo.onnx_exports import HEIGHT, WIDTH, Affine, Rcnn, Tf, rows
from zoo import intake

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

LEFT, RIGHT = (200, 120, 40), (10, 60, 220)
NAMES = [f"c{k}" for k in range(1, 91)]
SSD = Tf(
    boxes=Affine(rows(1, 5, 4, swing=0.0002).weights, np.array(
        [[0.1, 0.2, 0.5, 0.4], [0.3, 0.1, 0.9, 0.6], [0.5, 0.5, 0.8, 0.9], [0.2, 0.6, 0.4, 0.9], [0, 0, 1, 1]])),
)  # fmt: skip
RCNN = Rcnn(
    boxes=Affine(rows(7, 8, 4, swing=0.5).weights, np.tile([[10.0, 8.0, 40.0, 50.0], [30.0, 5.0, 90.0, 30.0]], (4, 1))),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with an SSD and a Faster R-CNN, imported from their files and a file of names."""
    folder = tmp_path_factory.mktemp("foreign")
    names = folder / "names.txt"
    names.write_text("\n".join(NAMES) + "\n")
    wishes = intake.Wishes(names=names, frame=Frame(width=WIDTH, height=HEIGHT))
    for name, path in (
        ("ssd", SSD.write(folder / "ssd.onnx", classes=90)),
        ("faster-rcnn", RCNN.write_torchvision(folder / "rcnn.onnx", opset=11)),
    ):
        intake.import_onnx(folder / "models", name, path, None, wishes)
    with (
        Stack(folder, folder / "models", default_model="ssd") as stack,
        httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", timeout=40, headers={"Prefer": "wait=30"}) as client,
    ):
        yield client


def found(client: httpx.Client, width: int, height: int, model: str, threshold: float) -> list[dict[str, Any]]:
    """Detections in a picture whose left half is `LEFT` and whose right half is `RIGHT`."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = LEFT, RIGHT
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    form = {"model": model, "threshold": str(threshold)}
    job = client.post("/jobs", files={"file": out.getvalue()}, data=form).json()
    assert job["status"] == "succeeded", job
    return list(job["results"][0]["detections"])


def expected(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64], width: float, height: float
) -> list[tuple[str, float, list[float]]]:
    """Rows of one picture, boxes x1 y1 x2 y2 in 0..1 of it, as label, confidence and x, y, width, height in pixels."""
    edges = np.clip(boxes, 0, 1) * [width, height, width, height]
    flat = np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], 1)
    order = np.argsort(-scores)
    return [(f"c{classes[k]}", float(scores[k]), flat[k].tolist()) for k in order]


def same(answer: list[dict[str, Any]], reference: list[tuple[str, float, list[float]]]) -> None:
    assert [one["label"] for one in answer] == [label for label, _, _ in reference]
    for one, (_, score, box) in zip(answer, reference, strict=True):
        assert one["confidence"] == pytest.approx(score, abs=2e-4)
        assert [one["box"][key] for key in ("x", "y", "width", "height")] == pytest.approx(box, abs=0.05)


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (4 * WIDTH, 6 * HEIGHT)])
def test_an_ssd_of_tensorflow(client: httpx.Client, width: int, height: int) -> None:
    seen = np.array(LEFT, np.float64)[np.newaxis]
    boxes, scores = SSD.boxes.at(seen)[0][:, [1, 0, 3, 2]], SSD.scores.at(seen)[0]
    first = slice(int(SSD.count))
    reference = expected(boxes[first], scores[first], np.array(SSD.classes, np.int64)[first], width, height)
    same(found(client, width, height, "ssd", 0.0), reference)


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT)])
def test_a_faster_rcnn_of_torchvision(client: httpx.Client, width: int, height: int) -> None:
    seen = (np.array(LEFT) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    scores = RCNN.scores.at(seen[np.newaxis])[0]
    kept = scores > 0.5
    assert 0 < kept.sum() < len(kept)
    boxes = RCNN.boxes.at(seen[np.newaxis])[0][kept] / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    reference = expected(boxes, scores[kept], np.array(RCNN.classes)[kept], width, height)
    same(found(client, width, height, "faster-rcnn", 0.0), reference)


def test_the_corner_of_the_frame_is_taken_for_the_picture(client: httpx.Client) -> None:
    """A picture of twice the frame's height lies in the left half of the frame, and all of it is seen."""
    width, height = WIDTH, 2 * HEIGHT
    both = (np.array([LEFT, RIGHT]).mean(axis=0) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    scores = RCNN.scores.at(both[np.newaxis])[0]
    kept = scores > 0.5
    boxes = RCNN.boxes.at(both[np.newaxis])[0][kept] / [WIDTH / 2, HEIGHT, WIDTH / 2, HEIGHT]
    inside = boxes[:, 0] < 1
    reference = expected(boxes[inside], scores[kept][inside], np.array(RCNN.classes)[kept][inside], width, height)
    same(found(client, width, height, "faster-rcnn", 0.0), reference)


def test_a_threshold_and_classes_choose_among_labelled_rows(client: httpx.Client) -> None:
    every = found(client, WIDTH, HEIGHT, "ssd", 0.0)
    middle = every[1]["confidence"]
    assert found(client, WIDTH, HEIGHT, "ssd", middle) == every[:2]
